/** Which rule takes a connection that is not routed as HTTP. First match wins. */
import type { TcpRule, TlsRule } from './plan.ts';
import { hostMatches } from './request-field.ts';

/** By the server name of the ClientHello; without one only rules for any name match. */
export const matchTls = (rules: readonly TlsRule[], serverName: string | undefined): TlsRule | undefined => {
  const name = serverName?.toLowerCase();
  for (const rule of rules) {
    if (rule.sniHosts.length === 0) return rule;
    if (name !== undefined && rule.sniHosts.some((host) => hostMatches(host, name))) return rule;
  }
  return undefined;
};

/** By the namespace of the client, undefined when its identity is not known. */
export const matchTcp = (rules: readonly TcpRule[], sourceNamespace: string | undefined): TcpRule | undefined => {
  for (const rule of rules) if (rule.sourceNamespace === undefined || rule.sourceNamespace === sourceNamespace) return rule;
  return undefined;
};
