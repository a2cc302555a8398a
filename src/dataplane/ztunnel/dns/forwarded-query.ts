/** One query at a nameserver, from the pod's point of view: its answer goes back under the asker's id, its time and failure are counted. */
import type { ExchangeEvents, TcpExchange, UdpExchange } from './exchange.ts';
import { answersOf, encodeCode, relayed, SERVFAIL } from './message.ts';
import type { DnsSeries } from './metrics.ts';
import type { Asked } from './pod-dns.ts';

/** Called once, at the end. `failure` is why no nameserver answered. */
export type ForwardingEnded = (query: ForwardedQuery, result: string, answers: number, failure: string | undefined) => void;

export class ForwardedQuery implements ExchangeEvents {
  /** Owns its octets. */
  readonly asked: Asked;
  readonly #series: DnsSeries;
  readonly #limit: number;
  readonly #ended: ForwardingEnded;
  readonly #startedAt = performance.now();
  #exchange: UdpExchange | TcpExchange | undefined;
  #answers = 0;
  #isOver = false;

  /** `limit`: octets the asker takes. */
  constructor(asked: Asked, series: DnsSeries, limit: number, ended: ForwardingEnded) {
    this.asked = asked;
    this.#series = series;
    this.#limit = limit;
    this.#ended = ended;
    series.forwarded.inc();
  }

  start(exchange: UdpExchange | TcpExchange): void {
    this.#exchange = exchange;
    exchange.start();
  }

  /** Nobody waits for the answer any more. */
  abort(): void {
    this.#exchange?.abort();
    this.#end('abandoned', undefined);
  }

  onMessage(message: Buffer | undefined, isLast: boolean): void {
    const { bytes, query } = this.asked;
    if (message !== undefined) this.#answers += answersOf(message);
    // First the answer: after the last query a draining proxy closes what it would go through.
    this.asked.reply(message && relayed(message, bytes, query, this.#limit), isLast);
    if (isLast) this.#end('forwarded', undefined);
  }

  onFailed(reason: string): void {
    const { bytes, query } = this.asked;
    this.#series.failures.inc();
    this.asked.reply(encodeCode(bytes, query, SERVFAIL), true);
    this.#end(`forwarding failed (${reason})`, reason);
  }

  #end(result: string, failure: string | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#series.duration.observe((performance.now() - this.#startedAt) / 1000);
    this.#ended(this, result, this.#answers, failure);
  }
}
