/** Every case of h2spec (github.com/summerwind/h2spec) against a waypoint. Needs `H2SPEC_BIN`; the result is in docs/conformance/h2spec.md. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { WaypointLab } from './lab.ts';
import { answering, RawServer } from './wire.ts';

const program = process.env['H2SPEC_BIN'];

if (program === undefined) test.skip('h2spec: not run, H2SPEC_BIN is not set', () => {});
else {
  const lab = new WaypointLab();
  let server: RawServer;
  beforeAll(async () => {
    // An answer before the end of the request would end streams that h2spec still wants to break.
    server = new RawServer(
      lab,
      '127.0.0.21',
      8080,
      answering(() => 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'),
    );
    await lab.start([{ name: 'spec', ports: [{ port: 80, targetPort: 8080, protocol: 'HTTP2' }], endpoints: ['127.0.0.21'] }]);
  });
  afterAll(async () => {
    server?.stop();
    await lab.stop();
  });

  test('h2spec: all cases of generic, http2 and hpack pass, strict ones included', async () => {
    const port = lab.open('spec', 80);
    const argv = [program, '--strict', '--timeout', '3', '--host', '127.0.0.1', '--port', String(port), 'generic', 'http2', 'hpack'];
    // Its exit code is 1 when a case fails; what it says is worth more.
    const report = await lab.run('sh', '-c', `${argv.join(' ')} || true`);
    const failures = report.includes('Failures:') ? report.slice(report.indexOf('Failures:')) : '';
    expect(failures).toBe('');
    expect(report).toMatch(/147 tests, 147 passed, 0 skipped, 0 failed/);
  }, 60_000);
}
