/** Shell blocks of the documentation, so that what it says is run. */

export interface ShellBlock {
  readonly line: number;
  readonly code: string;
  /** Why it is not run, from `<!-- not run: reason -->` in front of it. */
  readonly notRun: string | undefined;
}

/** Every fenced `sh` block of a Markdown text, with its line (from 1). */
export function shellBlocks(markdown: string): ShellBlock[] {
  const blocks: ShellBlock[] = [];
  const lines = markdown.split('\n');
  for (let at = 0; at < lines.length; at++) {
    if (lines[at]!.trim() !== '```sh') continue;
    const end = lines.findIndex((line, index) => index > at && line.trim() === '```');
    const before = lines.slice(0, at).findLast((line) => line.trim() !== '') ?? '';
    blocks.push({ line: at + 1, code: lines.slice(at + 1, end).join('\n'), notRun: /^<!-- not run: (.+) -->$/.exec(before.trim())?.[1] });
    at = end;
  }
  return blocks;
}
