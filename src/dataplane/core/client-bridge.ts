/** An application's connection on a stream this proxy opened: nothing but 200 is a tunnel. */
import { type HeaderList, responseStatus } from '../../protocol/index.ts';
import { type ConnectionEnd, endOf } from './end-reason.ts';
import { TunnelBridge } from './tunnel-bridge.ts';

export class ClientBridge extends TunnelBridge {
  #isAnswered = false;

  override onTunnelHeaders(headers: HeaderList, endStream: boolean): void {
    const status = responseStatus(headers);
    if (!this.#isAnswered && status !== 200) {
      this.abort(refusedWith(status));
      return;
    }
    this.#isAnswered = true;
    this.confirm();
    super.onTunnelHeaders(headers, endStream);
  }
}

/** The end of a connection whose CONNECT was answered with something else than 200. */
export const refusedWith = (status: number): ConnectionEnd => endOf('http-status', `${status} ${STATUS_TEXT[status] ?? ''}`.trimEnd());

const STATUS_TEXT: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
};
