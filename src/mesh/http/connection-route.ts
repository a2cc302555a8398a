/** Which rule takes a connection that is not routed as HTTP. First match wins. */
import type { TcpRule, TlsRule } from './plan.ts';
import { hostMatches } from './request-field.ts';

const isFrom = (rule: { readonly sourceNamespace?: string }, namespace: string | undefined): boolean =>
  rule.sourceNamespace === undefined || rule.sourceNamespace === namespace;

/** By the server name of the ClientHello (without one only rules for any name match) and the namespace of the client, undefined when it is not known. */
export const matchTls = (
  rules: readonly TlsRule[],
  serverName: string | undefined,
  sourceNamespace: string | undefined,
): TlsRule | undefined => {
  const name = serverName?.toLowerCase();
  for (const rule of rules) {
    if (!isFrom(rule, sourceNamespace)) continue;
    if (rule.sniHosts.length === 0) return rule;
    if (name !== undefined && rule.sniHosts.some((host) => hostMatches(host, name))) return rule;
  }
  return undefined;
};

/** By the namespace of the client. */
export const matchTcp = (rules: readonly TcpRule[], sourceNamespace: string | undefined): TcpRule | undefined =>
  rules.find((rule) => isFrom(rule, sourceNamespace));
