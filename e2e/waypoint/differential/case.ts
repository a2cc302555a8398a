/** One conversation with a proxy. */
export interface Case {
  /** Also its key in the table of expected differences. */
  readonly name: string;
  /** Octets, one per character; a number is a pause in milliseconds. */
  readonly send: readonly (string | number)[];
  /** Final responses that are waited for. 0: none is expected, so that waiting for one ends soon. */
  readonly responses: number;
  /** Methods the responses belong to, where they are no GETs. */
  readonly methods: readonly string[];
  /** Half-closes behind the last octet. */
  readonly ends: boolean;
  /** Whether a plain request is sent behind it, which shows if the connection can be used on. */
  readonly probes: boolean;
  /** Requests that reach backends although no response waits for them (mirrors). */
  readonly arrivals: number;
  /** How long the answer to the plain request is waited for behind one that was answered, milliseconds. */
  readonly patience: number;
}

export type CaseOptions = Partial<Omit<Case, 'name' | 'send'>>;

/** A case of these octets, one character per octet. */
export function raw(name: string, send: string | readonly (string | number)[], options: CaseOptions = {}): Case {
  const parts = typeof send === 'string' ? [send] : send;
  const first = typeof parts[0] === 'string' ? (/^([A-Z]+) /.exec(parts[0])?.[1] ?? 'GET') : 'GET';
  return { name, send: parts, responses: 1, methods: [first], ends: false, probes: true, arrivals: 0, patience: 4000, ...options };
}

/** `GET <target>` with a `Host` and these lines. */
export const get = (target: string, ...lines: readonly string[]): string => request('GET', target, lines);

/** A request head with a `Host` unless `lines` has one, and a body with its length. */
export function request(method: string, target: string, lines: readonly string[] = [], body?: string): string {
  const hasHost = lines.some((line) => /^host\s*:/i.test(line));
  const length = body === undefined ? [] : [`Content-Length: ${body.length}`];
  return `${[`${method} ${target} HTTP/1.1`, ...(hasHost ? [] : ['Host: app.test']), ...lines, ...length].join('\r\n')}\r\n\r\n${body ?? ''}`;
}
