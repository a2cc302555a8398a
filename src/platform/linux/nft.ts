/** The `nft` program: scripts are transactions, everything in one is in force or nothing. */
import { runCommand } from './command.ts';

/** Runs a script in the namespace `netns` refers to (default: the process's own). */
export async function runNft(script: string, netns?: number): Promise<void> {
  await runCommand(['nft', '-f', '-'], { stdin: script, ...(netns !== undefined && { netns }) });
}

/** What is there: chains and the number of rules of each table, as `family name`. */
export type RulesetSummary = ReadonlyMap<string, { readonly chains: ReadonlySet<string>; rules: number }>;

interface ListedObject {
  readonly table?: { readonly family: string; readonly name: string };
  readonly chain?: { readonly family: string; readonly table: string; readonly name: string };
  readonly rule?: { readonly family: string; readonly table: string };
}

export async function summarizeRuleset(netns?: number): Promise<RulesetSummary> {
  const text = await runCommand(['nft', '-j', 'list', 'ruleset'], netns === undefined ? {} : { netns });
  const tables = new Map<string, { chains: Set<string>; rules: number }>();
  const at = (family: string, name: string) => {
    const key = `${family} ${name}`;
    const known = tables.get(key);
    if (known) return known;
    const made = { chains: new Set<string>(), rules: 0 };
    tables.set(key, made);
    return made;
  };
  for (const { table, chain, rule } of (JSON.parse(text) as { nftables: ListedObject[] }).nftables) {
    if (table) at(table.family, table.name);
    if (chain) at(chain.family, chain.table).chains.add(chain.name);
    if (rule) at(rule.family, rule.table).rules++;
  }
  return tables;
}
