/** `bun bench/authority.ts FOLDER PORT`: Istio's certificate service on 127.0.0.1 over TLS (name `localhost`). It signs whatever identity is asked for: right on a bench, nowhere else. */
import 'reflect-metadata';
import fs from 'node:fs';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import * as x509 from '@peculiar/x509';
import {
  type IstioCertificateRequest,
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from '../src/protocol/messages/index.ts';
import { readAuthority, sign, writeCredentials } from './pki.ts';

const [folder = '.', port = '15012'] = process.argv.slice(2);
const authority = await readAuthority(folder);
const files = await writeCredentials(authority, folder, `authority-${port}-${process.pid}`, [
  { type: 'dns', value: 'localhost' },
  { type: 'ip', value: '127.0.0.1' },
]);

const method: grpc.MethodDefinition<IstioCertificateRequest, IstioCertificateResponse> = {
  path: '/istio.v1.auth.IstioCertificateService/CreateCertificate',
  requestStream: false,
  responseStream: false,
  requestSerialize: (message) => Buffer.from(toBinary(IstioCertificateRequestSchema, message)),
  requestDeserialize: (bytes) => fromBinary(IstioCertificateRequestSchema, bytes),
  responseSerialize: (message) => Buffer.from(toBinary(IstioCertificateResponseSchema, message)),
  responseDeserialize: (bytes) => fromBinary(IstioCertificateResponseSchema, bytes),
};

async function issue(request: IstioCertificateRequest): Promise<IstioCertificateResponse> {
  const csr = new x509.Pkcs10CertificateRequest(request.csr);
  const names = csr.getExtension('2.5.29.17');
  const own = names && new x509.SubjectAlternativeNameExtension(names.rawData).names.items[0]?.value;
  const identity = request.metadata?.['ImpersonatedIdentity'] ?? own;
  if (typeof identity !== 'string') throw new Error('the request names no identity');
  const leaf = await sign(authority, csr.publicKey, [{ type: 'url', value: identity }]);
  return create(IstioCertificateResponseSchema, { certChain: [leaf.toString('pem'), authority.certificate.toString('pem')] });
}

const server = new grpc.Server();
server.addService(
  { createCertificate: method },
  {
    createCertificate(
      call: grpc.ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>,
      done: grpc.sendUnaryData<IstioCertificateResponse>,
    ) {
      issue(call.request).then(
        (response) => done(null, response),
        (error: Error) => done({ code: grpc.status.INTERNAL, details: error.message }),
      );
    },
  },
);
const credentials = grpc.ServerCredentials.createSsl(null, [
  { cert_chain: fs.readFileSync(files.cert), private_key: fs.readFileSync(files.key) },
]);
server.bindAsync(`127.0.0.1:${port}`, credentials, (error) => {
  if (error !== null) throw error;
  console.log(`authority on 127.0.0.1:${port}`);
});
