/** A JSON answer that nobody caches. */
export const json = (text: string, status = 200, headers: Record<string, string> = {}): Response =>
  new Response(text, { status, headers: { 'content-type': 'application/json', 'cache-control': 'no-cache, private', ...headers } });
