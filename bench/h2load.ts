/** What `h2load` (nghttp2 1.52) prints and logs. */

export interface H2loadSummary {
  readonly rps: number;
  readonly started: number;
  /** Requests answered to their end with a status of 200 to 299. */
  readonly succeeded: number;
  readonly failed: number;
  /** Octets of payload received, those of unfinished answers included. */
  readonly dataBytes: number;
}

/** Reads the summary; throws with the output when a line it needs is missing. */
export function readH2load(output: string): H2loadSummary {
  const find = (pattern: RegExp): readonly string[] => {
    const found = pattern.exec(output);
    if (found === null) throw new Error(`h2load printed no ${pattern.source}: ${output.slice(-500)}`);
    return found;
  };
  const requests = find(/requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed/);
  return {
    rps: Number(find(/finished in [^,]+, ([\d.]+) req\/s/)[1]),
    started: Number(requests[2]),
    succeeded: Number(requests[4]),
    failed: Number(requests[5]),
    dataBytes: Number(find(/\((\d+)\) data/)[1]),
  };
}

/** Reads the log, a line per request of start (µs since the epoch), status (-1 when the stream failed) and time taken (µs): times in tenths of a microsecond, and how many were not answered with 200. */
export function readH2loadLog(text: string): { latencies: Uint32Array; failed: number } {
  const lines = text.split('\n').filter((line) => line !== '');
  const rows = lines.map((line) => line.split('\t'));
  const answered = rows.filter(([, status]) => status === '200');
  return {
    latencies: Uint32Array.from(answered, ([, , micros]) => Number(micros) * 10),
    failed: rows.length - answered.length,
  };
}
