/** Building matches so that a value that cannot be enforced never widens what an ALLOW lets in nor narrows what a DENY keeps out. */
import type { Authorization, Match } from './model.ts';

/** All twelve lists empty: never matches. */
export const NEVER: Match = {
  namespaces: [],
  notNamespaces: [],
  principals: [],
  notPrincipals: [],
  sourceIps: [],
  notSourceIps: [],
  destinationIps: [],
  notDestinationIps: [],
  destinationPorts: [],
  notDestinationPorts: [],
  serviceAccounts: [],
  notServiceAccounts: [],
};

/** Matches every connection: none is to port 0. For a DENY that has lost what it was about. */
export const ALWAYS: Match = { ...NEVER, notDestinationPorts: [0] };

export const isEmptyMatch = (match: Match): boolean => Object.values(match).every((list) => list.length === 0);

/**
 * A match some of whose values could not be read (they are absent from it). An ALLOW must not be satisfied through what is left; a DENY
 * keeps what is left, and denies everything when nothing is.
 */
export const failClosed = (action: Authorization['action'], rest: Match): Match => {
  if (action === 'ALLOW') return NEVER;
  return isEmptyMatch(rest) ? ALWAYS : rest;
};
