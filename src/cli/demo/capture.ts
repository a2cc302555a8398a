import { corpus } from '../../../examples/pipeline/load/corpus.ts';
import { CliError } from '../exit.ts';
import type { WireReport } from './report.ts';

/** Cumulative totals, as the capture program writes them on one line several times a second. */
export interface CaptureTotals extends WireReport {
  /** Epoch ms of the line. */
  readonly at: number;
  /** Connections opened to an application's port, seen between the nodes. */
  readonly plaintext_connections: number;
}

/** Sentences looked for in the packets: as long as a packet never hides them all by chance. */
const NEEDLES = 12;
const NEEDLE_CHARACTERS = 18;
const CONTROL_PLANE_PORT = 15_012;
const START_LIMIT_MS = 5_000;
const LINE_LIMIT_MS = 3_000;

const needles = (): string[] =>
  corpus
    .filter((_, index) => index % Math.ceil(corpus.length / NEEDLES) === 0)
    .map(({ text }) => text.normalize('NFC').slice(0, NEEDLE_CHARACTERS));

/** A packet capture on the bridge between the nodes, in a process of its own inside the cluster's network. */
export class Capture {
  readonly #process: Bun.Subprocess<'pipe', 'pipe', 'pipe'>;
  #latest: CaptureTotals | undefined;
  #waiting: ((totals: CaptureTotals) => void)[] = [];
  #complaint = '';

  private constructor(command: readonly string[]) {
    this.#process = Bun.spawn([...command], { stdin: 'pipe', stdout: 'pipe', stderr: 'pipe' });
    void this.#read();
    void this.#listen();
  }

  /** `enter` runs a program in the network namespace of the bridge. */
  static async start(
    enter: readonly string[],
    launcher: string,
    bridge: string,
    network: string,
    applicationPort: number,
  ): Promise<Capture> {
    const capture = new Capture([
      ...enter,
      launcher,
      'capture',
      '--until-eof',
      '--interface',
      bridge,
      '--network',
      network,
      '--ignore-port',
      String(CONTROL_PLANE_PORT),
      '--plaintext-port',
      String(applicationPort),
      ...needles().flatMap((needle) => ['--needle', needle]),
    ]);
    await capture.#next(START_LIMIT_MS);
    return capture;
  }

  /** Totals up to now: the first line written after this call. */
  totals(): Promise<CaptureTotals> {
    return this.#next(LINE_LIMIT_MS);
  }

  async stop(): Promise<void> {
    // A signal would only reach the program that entered the namespaces.
    await this.#process.stdin.end();
    await this.#process.exited;
  }

  #next(limitMs: number): Promise<CaptureTotals> {
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => {
        const seen = this.#latest === undefined ? 'wrote nothing' : 'went silent';
        reject(
          new CliError(
            `the packet capture ${seen}${this.#complaint === '' ? '' : `: ${this.#complaint.trim().split('\n').at(-1)}`}`,
            undefined,
            'It needs the right to open packet sockets inside the cluster; see "lateen capture --help".',
          ),
        );
      }, limitMs);
      this.#waiting.push((totals) => {
        clearTimeout(limit);
        resolve(totals);
      });
    });
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of this.#process.stdout as unknown as AsyncIterable<Uint8Array>) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (!line.startsWith('{')) continue;
        const totals: CaptureTotals = JSON.parse(line);
        this.#latest = totals;
        for (const resolve of this.#waiting.splice(0)) resolve(totals);
      }
    }
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#process.stderr as unknown as AsyncIterable<Uint8Array>)
      this.#complaint = (this.#complaint + decoder.decode(chunk)).slice(-2_000);
  }
}

/** What was on the wire between two readings. */
export const wireBetween = (before: CaptureTotals, after: CaptureTotals): WireReport => ({
  packets: after.packets - before.packets,
  bytes: after.bytes - before.bytes,
  tls_bytes: after.tls_bytes - before.tls_bytes,
  plaintext_bytes: after.plaintext_bytes - before.plaintext_bytes,
  readable_sentences: after.readable_sentences - before.readable_sentences,
});
