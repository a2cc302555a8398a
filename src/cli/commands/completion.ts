import type { Command } from 'commander';
import { CliError, EXIT } from '../exit.ts';
import { print } from '../output.ts';

const visible = (command: Command): Command[] =>
  command
    .createHelp()
    .visibleCommands(command)
    .filter((one) => one.name() !== 'help');
const optionsOf = (command: Command): string[] => command.options.flatMap(({ long }) => (long ? [long] : []));

/** One line per command: its words, then what may follow. */
const cases = (root: Command): string[] => {
  const lines: string[] = [];
  const add = (command: Command, path: readonly string[]): void => {
    const inner = visible(command);
    lines.push(`    "${path.join(' ')}") words="${[...inner.map((one) => one.name()), ...optionsOf(command)].join(' ')}" ;;`);
    for (const one of inner) add(one, [...path, one.name()]);
  };
  add(root, []);
  return lines;
};

/** Groups and groups of groups: how many words may name a command. */
const depth = (command: Command): number => Math.max(0, ...visible(command).map((one) => 1 + depth(one)));

const bash = (root: Command): string => `_lateen() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path="" words="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) [ "$(echo "$path" | wc -w)" -lt ${depth(root)} ] && path="\${path:+$path }$word" ;; esac
  done
  case "$path" in
${cases(root).join('\n')}
    *) case "\${path%% *}" in ${visible(root)
      .filter((one) => visible(one).length === 0)
      .map((one) => `${one.name()}) words="${optionsOf(one).join(' ')}" ;;`)
      .join(' ')} esac ;;
  esac
  case "$current" in
    -*|"") COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$words" -f -- "$current")) ;;
  esac
}
complete -F _lateen lateen`;

/** `lateen completion bash|zsh`. */
export const addCompletionCommand = (root: Command): void => {
  root
    .command('completion')
    .description('print a completion script for the shell')
    .argument('<shell>', 'bash or zsh')
    .addHelpText('after', '\nExamples:\n  source <(lateen completion bash)\n  lateen completion zsh >> ~/.zshrc')
    .action((shell: string) => {
      if (shell === 'bash') print(bash(root));
      else if (shell === 'zsh') print(`autoload -U +X bashcompinit && bashcompinit\n${bash(root)}`);
      else throw new CliError(`no completion for "${shell}"`, EXIT.usage, 'Use bash or zsh.');
    });
};
