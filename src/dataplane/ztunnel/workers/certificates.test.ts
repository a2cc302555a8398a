import { expect, test } from 'bun:test';
import { meshTls } from '../../../platform/net/index.ts';
import { Logging } from '../../../platform/telemetry/index.ts';
import type { WorkloadCertificate } from '../../core/certificate.ts';
import { readCertificate } from '../../core/certificate.ts';
import { CertificateManager } from '../../core/certificate-manager.ts';
import { createSigningRequest } from '../../core/csr.ts';
import { signFor, TEST_ROOT } from '../../core/test-authority.ts';
import { CertificateDesk } from './certificate-desk.ts';
import { CertificateMirror } from './certificate-mirror.ts';
import type { ToWorker } from './messages.ts';

const ID = 'spiffe://cluster.local/ns/default/sa/app';
const log = new Logging({ filter: 'off', sink: (bytes) => bytes.length }).logger('test');
const settle = () => new Promise<void>((done) => setTimeout(done, 20));

/** A manager with a real authority, and workers whose messages are copied as between processes. */
function office(lifetime: number, refuse = false) {
  let fetched = 0;
  const released: string[] = [];
  const manager = new CertificateManager({
    fetch: async (identity) => {
      fetched++;
      if (refuse) throw new Error('the authority is closed');
      const { csrPem, keyPem } = await createSigningRequest(identity);
      return readCertificate([await signFor(csrPem, identity, lifetime), TEST_ROOT], keyPem, identity);
    },
    logger: log,
  });
  const desk = new CertificateDesk(manager, (identity) => {
    released.push(identity);
    manager.forget(identity);
  });
  const worker = () => {
    const client = {
      isGone: false,
      send(message: ToWorker): void {
        if (message.kind !== 'certificate') throw new Error(`a ${message.kind} from the desk`);
        const { identity, parts, error } = structuredClone(message);
        if (!client.isGone) queueMicrotask(() => mirror.receive(identity, parts, error));
      },
    };
    const mirror = new CertificateMirror(
      {
        want: (identity, urgent) => queueMicrotask(() => desk.want(client, identity, urgent)),
        unwant: (identity) => queueMicrotask(() => desk.unwant(client, identity)),
      },
      meshTls('none'),
      log,
    );
    const leave = (): void => {
      client.isGone = true;
      desk.leave(client);
    };
    return { mirror, leave };
  };
  return { manager, worker, released, fetches: () => fetched };
}

test('all workers have the one certificate that was fetched, ready for TLS with its key', async () => {
  const { manager, worker, fetches } = office(60_000);
  const [one, two] = [worker(), worker()];
  const certificates = await Promise.all([one.mirror.get(ID), one.mirror.get(ID), two.mirror.get(ID)]);
  expect(fetches()).toBe(1);
  const original = manager.current(ID)!;
  for (const certificate of certificates) {
    expect(certificate.chain).toEqual(original.chain);
    expect(certificate.roots).toEqual(original.roots);
    expect(certificate.notAfter).toBe(original.notAfter);
    expect(certificate.serverTls.key).toBe(original.serverTls.key as string);
  }
  manager.close();
});

test('a renewal reaches every worker that uses the identity, without being asked for', async () => {
  const { manager, worker } = office(3000);
  const seen: [number, WorkloadCertificate | undefined][] = [];
  const workers = [worker(), worker()];
  for (const [i, { mirror }] of workers.entries()) mirror.watch(ID, (certificate) => seen.push([i, certificate]));
  const arrived = async (count: number): Promise<void> => {
    while (seen.length < count) await settle();
  };
  await arrived(2);
  await arrived(4);
  const serials = seen.map(([i, certificate]) => [i, certificate?.chain[0]?.serialNumber]);
  expect(serials[0]![1]).toBe(serials[1]![1]!);
  expect(serials[2]![1]).toBe(serials[3]![1]!);
  expect(serials[2]![1]).not.toBe(serials[0]![1]!);
  expect(serials.slice(2).map(([i]) => i)).toEqual([0, 1]);
  manager.close();
});

test('a worker hears why there is no certificate', async () => {
  const { manager, worker } = office(60_000, true);
  const { mirror } = worker();
  const heard: unknown[] = [];
  mirror.watch(ID, (certificate) => heard.push(certificate));
  await expect(mirror.get(ID)).rejects.toThrow('the authority is closed');
  expect(mirror.current(ID)).toBeUndefined();
  await settle();
  expect(heard[0]).toBeUndefined();
  manager.close();
});

test('an identity is given up when no worker uses it, and not before', async () => {
  const { manager, worker, released } = office(60_000);
  const [one, two] = [worker(), worker()];
  await Promise.all([one.mirror.get(ID), two.mirror.get(ID)]);
  one.mirror.forget(ID);
  await settle();
  expect([...manager.identities()]).toEqual([ID]);
  const stop = two.mirror.watch(ID, () => {});
  two.mirror.forget(ID);
  await settle();
  expect([...manager.identities()]).toEqual([ID]);
  stop();
  two.mirror.forget(ID);
  await settle();
  expect([...manager.identities()]).toEqual([]);
  expect(released).toEqual([ID, ID]);
  manager.close();
});

test('a worker that has ended is sent nothing, and its successor gets what is there', async () => {
  const { manager, worker, fetches } = office(60_000);
  const first = worker();
  await first.mirror.get(ID);
  first.leave();
  const second = worker();
  expect((await second.mirror.get(ID)).chain).toEqual(manager.current(ID)!.chain);
  expect(fetches()).toBe(1);
  manager.close();
});
