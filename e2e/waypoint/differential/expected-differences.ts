/**
 * Where our waypoint and Envoy differ, and why ours does what it does. The test fails on a difference that is not here, and on one here that is none any
 * more. `ours` and `envoy`: the first answer where that differs already, else the lines of the outcome (`outcome.ts`) the other has not.
 */
export interface ExplainedDifferences {
  readonly why: string;
  readonly differences: readonly {
    readonly cases: readonly string[];
    readonly ours: readonly string[];
    readonly envoy: readonly string[];
  }[];
}

export const EXPECTED: readonly ExplainedDifferences[] = [
  {
    why: 'Several fields of one name: each of them is looked at, as Envoy does, but all of them as one list too (RFC 9110 section 5.3; Gateway API leaves it to that).',
    differences: [
      {
        cases: ['match: header twice, joined they are the value'],
        ours: ['response 1 field x-route: header-list'],
        envoy: ['response 1 field x-route: default'],
      },
    ],
  },
  {
    why: "A redirect with a scheme and no port goes to that scheme's port (Gateway API HTTPRequestRedirectFilter.port); Envoy keeps the port of Host.",
    differences: [
      {
        cases: ['action: redirect scheme, Host with port'],
        ours: ['response 1 field location: https://app.test/redirect/scheme'],
        envoy: ['response 1 field location: https://app.test:8080/redirect/scheme'],
      },
    ],
  },
  {
    why: 'Fields added by a destination come before those of its route, as a response passes the destination first; Istio puts both into one list.',
    differences: [
      {
        cases: [
          'action: edit fields',
          'action: edit fields that are not there',
          'action: edit fields that come twice',
          'action: edit fields of a response',
        ],
        ours: ['response 1 field x-seen: backend,route'],
        envoy: ['response 1 field x-seen: route,backend'],
      },
      { cases: ['h2: edited fields'], ours: ['stream 1 field x-seen: backend,route'], envoy: ['stream 1 field x-seen: route,backend'] },
    ],
  },
  {
    why: "A preflight is answered with the route's own response fields, too; Envoy's CORS filter answers before they apply. Vary is what the Fetch standard asks of answers that depend on the origin (section 3.2.5).",
    differences: [
      {
        cases: ['action: CORS preflight', 'action: CORS preflight with fields'],
        ours: ['response 1 field vary: origin', 'response 1 field x-route: cors'],
        envoy: [],
      },
      {
        cases: ['action: CORS forward: preflight'],
        ours: ['response 1 field vary: origin', 'response 1 field x-route: cors-forward'],
        envoy: [],
      },
    ],
  },
  {
    why: 'Answers that depend on the origin say so (Fetch standard section 3.2.5, caches).',
    differences: [
      { cases: ['action: CORS preflight without a method', 'action: CORS request'], ours: ['response 1 field vary: origin'], envoy: [] },
      {
        cases: ['action: CORS request, the backend has fields of its own'],
        ours: ['response 1 field vary: Accept,origin'],
        envoy: ['response 1 field vary: Accept'],
      },
    ],
  },
  {
    why: 'An origin that is not allowed learns nothing of what is; without access-control-allow-origin the browser stops in either case.',
    differences: [
      {
        cases: ['action: CORS preflight of another origin'],
        ours: ['response 1 field x-route: cors'],
        envoy: [
          'response 1 field access-control-allow-credentials: true',
          'response 1 field access-control-allow-headers: x-one,x-two',
          'response 1 field access-control-allow-methods: GET,PUT',
          'response 1 field access-control-max-age: 600',
        ],
      },
    ],
  },
  {
    why: 'Vary as above; the small body behind a request that is answered here is read to its end, so that the connection can go on.',
    differences: [
      {
        cases: ['action: CORS preflight with a body'],
        ours: ['response 1 field vary: origin', 'response 1 field x-route: cors', 'connection goes on'],
        envoy: ['connection is closed'],
      },
    ],
  },
  {
    why: 'The small rest of a request that is answered early is read and forgotten, so that the connection can go on; Envoy closes it.',
    differences: [
      { cases: ['action: redirect of a POST', 'action: respond to POST'], ours: ['connection goes on'], envoy: ['connection is closed'] },
      { cases: ['response: 413 while the body is coming'], ours: ['connection hangs'], envoy: ['connection is closed'] },
    ],
  },
  {
    why: 'A fault with a gRPC status is one for gRPC clients; for others Envoy makes it a 200 with a text, ours is the same whoever asks.',
    differences: [
      {
        cases: ['action: fault abort with a gRPC status'],
        ours: ['response 1 field grpc-status: 14'],
        envoy: ['response 1 field content-type: text/plain', 'response 1 body "fault filter abort"'],
      },
    ],
  },
  {
    why: "Envoy adds the waypoint's own address as x-forwarded-for to copies; a copy is the request as the backend gets it.",
    differences: [
      { cases: ['action: mirror', 'action: mirror of a POST'], ours: [], envoy: ['request 2 field x-forwarded-for: 127.0.0.1'] },
    ],
  },
  {
    why: "Methods are tokens, and a proxy passes on those it does not know (RFC 9110 section 9.1); Envoy's HTTP/1 has a closed list, its HTTP/2 has not.",
    differences: [
      { cases: ['match: method of a standard nobody has'], ours: ['answers with 200'], envoy: ['answers with 400'] },
      {
        cases: ['flow: garbage behind a body'],
        ours: [
          'response 2 status 200',
          'response 2 field content-type: text/plain',
          'response 2 field x-backend: app',
          'response 2 field x-route: default',
          'response 2 body "ok app"',
          'connection hangs',
          'request 2 at app: garbageGET /probe HTTP/1.1',
          'request 2 field host: probe.test',
          'request 2 field x-forwarded-proto: http',
        ],
        envoy: ['response 2 status 400', 'connection is closed'],
      },
    ],
  },
  {
    why: 'Both refuse; ours knows where the request ends and goes on behind it.',
    differences: [
      {
        cases: ['match: method in lower case', 'target: /seg/%00', 'head: a method of 20 000 octets', 'hostile line: method in lower case'],
        ours: ['connection goes on'],
        envoy: ['connection is closed'],
      },
    ],
  },
  {
    why: 'A standard method in lower case is refused in HTTP/2 as in HTTP/1: some servers take it for the standard one.',
    differences: [{ cases: ['h2: method in lower case'], ours: ['refuses'], envoy: ['answers with 200'] }],
  },
  {
    why: 'Interim responses are passed on (RFC 9110 section 15.2), to HTTP/1.1 and later; Envoy takes them out unless told otherwise.',
    differences: [
      { cases: ['response: early', 'response: bad: many interim responses'], ours: ['answers with 103'], envoy: ['answers with 200'] },
      { cases: ['response: processing'], ours: ['answers with 102'], envoy: ['answers with 200'] },
    ],
  },
  {
    why: 'What Connection names belongs to one hop and is taken out (RFC 9110 section 7.6.1); Envoy does that for requests only.',
    differences: [
      { cases: ['response: hop-by-hop'], ours: [], envoy: ['response 1 field x-private: 1'] },
      { cases: ['h2: a response with fields of its hop'], ours: [], envoy: ['stream 1 field x-private: 1'] },
    ],
  },
  {
    why: 'Trailers are passed on, to HTTP/1.1 clients that say they want them; Envoy drops those of HTTP/1 unless told otherwise.',
    differences: [
      { cases: ['response: trailers that are wanted'], ours: ['response 1 trailer x-sum: 12'], envoy: [] },
      {
        cases: ['body: chunked with a trailer', 'h2: POST with trailers', 'h2: POST with te and trailers'],
        ours: ['request 1 trailer x-sum: 1'],
        envoy: [],
      },
      { cases: ['body: chunked with several trailers'], ours: ['request 1 trailer x-one: 1,3', 'request 1 trailer x-two: 2'], envoy: [] },
      { cases: ['body: chunked with a trailer for the hop'], ours: ['request 1 trailer x-one: 1'], envoy: [] },
      { cases: ['h2: a response in chunks with trailers'], ours: ['stream 1 trailer x-sum: 12'], envoy: [] },
    ],
  },
  {
    why: 'Read strictly (RFC 9112 sections 2.2, 2.3, 5, 6.1): another reader behind us could see another response. Envoy repairs it.',
    differences: [
      {
        cases: [
          'response: bad: chunked in HTTP/1.0',
          'response: bad: folded field',
          'response: bad: CR in a value',
          'response: bad: LF for CR LF',
          'response: bad: version',
          'response: bad: version 1.2',
        ],
        ours: ['answers with 502'],
        envoy: ['answers with 200'],
      },
    ],
  },
  {
    why: 'A broken body ends the connection, before the head is sent if both came at once; Envoy sends the head, or takes what is broken.',
    differences: [
      {
        cases: [
          'response: bad: chunk size',
          'response: bad: chunk size with white space',
          'response: bad: chunk with too much',
          'response: bad: chunk ends with LF',
          'response: bad: trailers that frame',
        ],
        ours: ['does not answer'],
        envoy: ['answers with 200'],
      },
    ],
  },
  {
    why: 'A status has three digits (RFC 9110 section 15); Envoy passes four on.',
    differences: [
      { cases: ['response: bad: status of four digits'], ours: ['answers with 502'], envoy: ['answers with something malformed'] },
    ],
  },
  {
    why: 'A 101 nobody asked for would make the connection a tunnel to the backend (the next request would go there unrouted): an error here.',
    differences: [{ cases: ['response: bad: 101 unasked'], ours: ['answers with 502'], envoy: ['answers with 101'] }],
  },
  {
    why: 'Proxy-Connection means nothing (RFC 9112 appendix C.2.2) and is taken out; Envoy obeys it.',
    differences: [{ cases: ['field: Proxy-Connection: close'], ours: ['connection goes on'], envoy: ['connection is closed'] }],
  },
  {
    why: "A Referer is the backend's to judge; Envoy drops one that is no URI.",
    differences: [{ cases: ['field: Referer with anything'], ours: ['request 1 field referer: "<>{'], envoy: [] }],
  },
  {
    why: 'Any protocol but another form of HTTP can be upgraded to; Istio allows Envoy websocket only.',
    differences: [{ cases: ['field: Upgrade: foo'], ours: ['answers with 101'], envoy: ['answers with 403'] }],
  },
  {
    why: 'An upgrade to another form of HTTP, or to none, is an offer that is not taken up: the request goes on without it (RFC 9110 section 7.8). Envoy refuses such requests but for h2c alone.',
    differences: [
      {
        cases: [
          'field: Upgrade: TLS/1.0',
          'field: Upgrade: empty',
          'upgrade: websocket among others',
          'hop: Upgrade: h2c with websocket',
          'hop: Upgrade twice',
          'hop: Upgrade: HTTP/2.0',
        ],
        ours: ['answers with 200'],
        envoy: ['answers with 403'],
      },
    ],
  },
  {
    why: 'A request has its body and is then upgraded (RFC 9110 section 7.8); Envoy waits for the answer to the upgrade and does not pass the body on.',
    differences: [
      {
        cases: ['upgrade: websocket with a body', 'hop: Upgrade: websocket with a length'],
        ours: ['answers with 101'],
        envoy: ['does not answer'],
      },
    ],
  },
  {
    why: "The backend's answer is passed on and the connection goes on with requests (RFC 9110 section 7.8); Envoy loses the body.",
    differences: [
      {
        cases: ['upgrade: refused by the backend'],
        ours: ['response 1 body "no"', 'connection goes on'],
        envoy: ['response 1 body ""', 'connection is closed'],
      },
    ],
  },
  {
    why: 'An answer without the backend: nothing was upgraded, the connection goes on.',
    differences: [
      {
        cases: ['upgrade: to a route that redirects', 'upgrade: to a route that has no backend'],
        ours: ['connection goes on'],
        envoy: ['connection is closed'],
      },
    ],
  },
  {
    why: 'A request of HTTP/1.0 cannot upgrade (RFC 9110 section 7.8).',
    differences: [{ cases: ['line: HTTP/1.0 with Upgrade'], ours: ['answers with 200'], envoy: ['answers with 101'] }],
  },
  {
    why: 'Expect is passed on and the backend decides (RFC 9110 section 10.1.1); Envoy answers it and takes it out.',
    differences: [
      {
        cases: [
          'body: Expect: 100-continue',
          'body: Expect: 100-continue without a body',
          'body: Expect: 100-continue in HTTP/1.0',
          'h2: POST that expects leave',
        ],
        ours: ['request 1 field expect: 100-continue'],
        envoy: [],
      },
      { cases: ['body: Expect: 100-Continue'], ours: ['request 1 field expect: 100-Continue'], envoy: [] },
    ],
  },
  {
    why: 'LF alone ends no line: RFC 9112 section 2.2 lets it, and readers that differ in it have been smuggled through.',
    differences: [
      {
        cases: [
          'head: LF only',
          'head: LF behind the request line',
          'head: LF behind a field',
          'head: LF behind the last field',
          'head: LF for the empty line',
          'head: LF within a value',
          'chunks: trailer: with LF',
        ],
        ours: ['answers with 400'],
        envoy: ['answers with 200'],
      },
    ],
  },
  {
    why: 'A field line that begins with white space is refused (RFC 9112 section 5.2); Envoy unfolds it.',
    differences: [
      {
        cases: [
          'head: folded field',
          'head: folded field with a tab',
          'head: folded Host',
          'head: folded empty line',
          'chunks: trailer: folded',
          'framing: Transfer-Encoding: folded',
        ],
        ours: ['answers with 400'],
        envoy: ['answers with 200'],
      },
    ],
  },
  {
    why: 'CR alone is refused wherever it stands (RFC 9112 section 2.2); Envoy takes it out of values.',
    differences: [
      { cases: ['head: CR within a value', 'head: CR at the end of a value'], ours: ['answers with 400'], envoy: ['answers with 200'] },
    ],
  },
  {
    why: 'One space between the parts of a request line and none around them (RFC 9112 section 3); Envoy takes any white space.',
    differences: [
      {
        cases: [
          'hostile line: two spaces behind the method',
          'hostile line: two spaces behind the target',
          'hostile line: a tab behind the method',
          'hostile line: a tab behind the target',
          'hostile line: a space behind the version',
        ],
        ours: ['answers with 400'],
        envoy: ['answers with 200'],
      },
    ],
  },
  {
    why: "One empty line in front is skipped (RFC 9112 section 2.2), more is no client's mistake.",
    differences: [{ cases: ['line: several empty lines in front'], ours: ['answers with 400'], envoy: ['answers with 200'] }],
  },
  {
    why: "A request target has no fragment (RFC 9112 section 3.2). Istio has Envoy take it off, against Envoy's own default to refuse it.",
    differences: [
      {
        cases: ['line: a fragment', 'line: a fragment with a path', 'line: a query and a fragment'],
        ours: ['answers with 400'],
        envoy: ['answers with 200'],
      },
      { cases: ['h2: path with a fragment'], ours: ['refuses'], envoy: ['answers with 200'] },
    ],
  },
  {
    why: 'Legal white space that llhttp, and so every program on Node, does not take off: it would find another end of the body.',
    differences: [
      {
        cases: ['framing: length with a tab behind', 'framing: Transfer-Encoding: chunked with a tab behind'],
        ours: ['answers with 400'],
        envoy: ['answers with 200'],
      },
    ],
  },
  {
    why: 'White space in chunk lines, kept by RFC 9112 section 7.1.1 for old senders only, is refused.',
    differences: [
      {
        cases: ['body: chunked with white space around an extension', 'chunks: size with a space behind', 'chunks: size with a tab behind'],
        ours: ['answers with 400'],
        envoy: ['answers with 200'],
      },
    ],
  },
  {
    why: 'A chunk is followed by CR LF (RFC 9112 section 7.1); Envoy takes other octets for it.',
    differences: [
      {
        cases: ['chunks: size too small', 'chunks: data ends with LF', 'chunks: body ends with LF'],
        ours: ['answers with 400'],
        envoy: ['answers with 200'],
      },
    ],
  },
  {
    why: 'Chunk extensions have a grammar (RFC 9112 section 7.1.1) and may not cost their reader more than 256 octets a line; Envoy skips anything up to the end of the line.',
    differences: [
      {
        cases: [
          'chunks: extension with NUL',
          'chunks: extension without a name',
          'chunks: extension without an end of quote',
          'chunks: extension that is very long',
          'chunks: many extensions',
        ],
        ours: ['answers with 400'],
        envoy: ['answers with 200'],
      },
    ],
  },
  {
    why: "Framing and routing in trailers are somebody's attempt to change a message behind who has read its head; Envoy drops them with all trailers.",
    differences: [
      {
        cases: ['chunks: trailer: Content-Length', 'chunks: trailer: Transfer-Encoding', 'chunks: trailer: Host'],
        ours: ['answers with 400'],
        envoy: ['answers with 200'],
      },
    ],
  },
  {
    why: 'Trailers have limits of their own, since they are passed on.',
    differences: [{ cases: ['chunks: trailer: very many'], ours: ['answers with 431'], envoy: ['answers with 200'] }],
  },
  {
    why: 'A length over 2^53 - 1 is no length here: numbers above cannot be told apart, and nobody sends so much.',
    differences: [
      { cases: ['framing: length over 53 bits', 'chunks: size of 64 bits'], ours: ['answers with 400'], envoy: ['does not answer'] },
    ],
  },
  {
    why: 'Both refuse: malformed is 400, only a coding that exists but is not known is 501 (RFC 9112 section 6.1).',
    differences: [
      {
        cases: [
          'framing: Transfer-Encoding: chunkedx',
          'framing: Transfer-Encoding: chunked with a CR',
          'framing: Transfer-Encoding: chunked with a parameter',
          'framing: Transfer-Encoding: chunked, chunked',
          'framing: Transfer-Encoding: chunked, twice',
          'framing: Transfer-Encoding: chunked, identity',
          'framing: Transfer-Encoding: chunked then cow',
          'framing: Transfer-Encoding: comma',
          'hostile line: CONNECT with chunked',
        ],
        ours: ['answers with 400'],
        envoy: ['answers with 501'],
      },
    ],
  },
  {
    why: 'HTTP/1.0 has no transfer codings: a message that has one has faulty framing (RFC 9112 section 6.1).',
    differences: [{ cases: ['body: chunked to HTTP/1.0'], ours: ['answers with 400'], envoy: ['answers with 200'] }],
  },
  {
    why: 'One Host (RFC 9112 section 3.2); Envoy joins two with a comma, and routes by that.',
    differences: [
      {
        cases: ['hostile line: two Hosts', 'hostile line: two equal Hosts', 'hostile line: absolute form with two Hosts'],
        ours: ['answers with 400'],
        envoy: ['answers with 200'],
      },
    ],
  },
  {
    why: 'Host is uri-host [":" port] (RFC 9110 section 7.2), without user information; Envoy checks the characters only.',
    differences: [
      {
        cases: [
          'hostile line: Host with user information',
          'hostile line: Host with user information and port',
          'hostile line: Host with a port of letters',
          'hostile line: Host with an empty port',
          'hostile line: Host with two ports',
          'hostile line: Host with a port too large',
          'hostile line: Host with a bracket',
          'hostile line: Host with an empty IP literal',
          'hostile line: Host with anything in brackets',
          'hostile line: Host with a zone',
        ],
        ours: ['answers with 400'],
        envoy: ['answers with 200'],
      },
      { cases: ['h2: authority with a bad port', 'h2: authority with a bracket'], ours: ['refuses'], envoy: ['answers with 200'] },
    ],
  },
  {
    why: 'A target in absolute form and Host say the same, or two readers see two requests; Envoy takes the target and forgets Host (as RFC 9112 section 3.2.2 lets it).',
    differences: [
      {
        cases: [
          'hostile line: absolute form with another Host',
          'hostile line: absolute form without Host',
          'line: absolute form with an empty Host',
        ],
        ours: ['answers with 400'],
        envoy: ['answers with 200'],
      },
      { cases: ['h2: host that differs from :authority'], ours: ['refuses'], envoy: ['answers with 200'] },
    ],
  },
  {
    why: 'No user information in a target (RFC 9110 section 4.2.4).',
    differences: [
      { cases: ['hostile line: absolute form with user information'], ours: ['answers with 400'], envoy: ['answers with 200'] },
    ],
  },
  {
    why: 'A target without a path is the path / (RFC 9110 section 4.2.3); Envoy routes by the query.',
    differences: [{ cases: ['line: absolute form with a query only'], ours: ['answers with 200'], envoy: ['answers with 404'] }],
  },
  {
    why: 'Only * itself is the asterisk form (RFC 9112 section 3.2.4); Envoy looks for a route for it.',
    differences: [{ cases: ['hostile line: OPTIONS *a'], ours: ['answers with 400'], envoy: ['answers with 404'] }],
  },
  {
    why: 'Clients of HTTP/1.0 need no Host (RFC 9112 section 3.2); Envoy wants one.',
    differences: [{ cases: ['line: HTTP/1.0'], ours: ['answers with 200'], envoy: ['answers with 400'] }],
  },
  {
    why: 'Minor versions above 1 and other major versions are refused with 505 (RFC 9110 section 15.6.6); Envoy takes each for HTTP/1.1 or HTTP/1.0.',
    differences: [
      {
        cases: [
          'hostile line: version HTTP/0.9',
          'hostile line: version HTTP/1.2',
          'hostile line: version HTTP/1.9',
          'hostile line: version HTTP/2.0',
          'hostile line: version HTTP/3.0',
        ],
        ours: ['answers with 505'],
        envoy: ['answers with 200'],
      },
    ],
  },
  {
    why: 'Both refuse: 01 is another major version here, malformed there.',
    differences: [{ cases: ['hostile line: version HTTP/01.1'], ours: ['answers with 505'], envoy: ['answers with 400'] }],
  },
  {
    why: 'Targets end at 16 KiB, with 414 (RFC 9110 section 15.5.15); Envoy counts them with the head, and answers 431 for that.',
    differences: [
      { cases: ['head: a target of 17 000 octets'], ours: ['answers with 414'], envoy: ['answers with 200'] },
      { cases: ['head: a target of 62 000 octets'], ours: ['answers with 414'], envoy: ['answers with 431'] },
    ],
  },
  {
    why: 'Connection may not name a field that is for every recipient (RFC 9110 section 7.6.1): taking it out would show the backend another request than was checked. Envoy refuses that for some fields and takes out others.',
    differences: [
      {
        cases: [
          'hop: Connection names Authorization',
          'hop: Connection names Cookie',
          'hop: Connection names Content-Length',
          'hop: Connection names X-Request-Id',
        ],
        ours: ['answers with 400'],
        envoy: ['answers with 200'],
      },
    ],
  },
  {
    why: 'Options of Connection are tokens; Envoy ignores those that are not.',
    differences: [{ cases: ['hop: Connection of no token'], ours: ['answers with 400'], envoy: ['answers with 200'] }],
  },
  {
    why: 'The head has a limit, and so has Connection in it; Envoy has one for the number of options.',
    differences: [{ cases: ['hop: Connection of very many'], ours: ['answers with 200'], envoy: ['answers with 400'] }],
  },
  {
    why: 'A client that has said everything may close its side and still gets its answer; Envoy takes that for having gone.',
    differences: [
      {
        cases: ['flow: half close behind a request', 'flow: half close before a slow answer'],
        ours: ['answers with 200'],
        envoy: ['does not answer'],
      },
    ],
  },
  {
    why: 'Half a head is answered while somebody may listen; Envoy closes.',
    differences: [{ cases: ['flow: end within a head'], ours: ['answers with 400'], envoy: ['does not answer'] }],
  },
  {
    why: 'Values do not begin or end with white space (RFC 9113 section 8.2.1); Envoy takes it off.',
    differences: [
      {
        cases: [
          'h2: a value with white space in front',
          'h2: a value with white space behind',
          'h2: a value with a tab in front',
          'h2: a value of white space',
        ],
        ours: ['refuses'],
        envoy: ['answers with 200'],
      },
    ],
  },
  {
    why: 'A path is ASCII (RFC 3986 section 3.3), in HTTP/2 as in HTTP/1; Envoy encodes other octets.',
    differences: [{ cases: ['h2: :path with obs-text'], ours: ['refuses'], envoy: ['answers with 200'] }],
  },
  {
    why: 'te says trailers or is not there (RFC 9113 section 8.2.2), in lower case.',
    differences: [{ cases: ['h2: te: Trailers'], ours: ['refuses'], envoy: ['answers with 200'] }],
  },
  {
    why: 'A new stream has a higher number than those before (RFC 9113 section 5.1.1): a connection error, which the answer to the other stream does not outlive here.',
    differences: [{ cases: ['h2: a stream below one before'], ours: ['refuses'], envoy: ['answers with 200'] }],
  },
  {
    why: 'The request was whole and had gone to the backend when data came behind its end; Envoy had read all frames before.',
    differences: [
      {
        cases: ['h2: data behind the end'],
        ours: ['request 1 at app: GET /seg HTTP/1.1', 'request 1 field host: app.test', 'request 1 field x-forwarded-proto: http'],
        envoy: [],
      },
    ],
  },
];
