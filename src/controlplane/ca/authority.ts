import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { generateKeyPair, importSigningKey, matchesCertificate, P256, type SigningKey, splitCertificates, toPem } from './keys.ts';

/** What a CA consists of, as PEM text; the layout of Istio's `cacerts` Secret. */
export interface AuthorityMaterial {
  readonly certPem: string;
  readonly keyPem: string;
  /** The certificates between `certPem` and the root, without the root; may be empty. */
  readonly chainPem: string;
  /** One or several roots. */
  readonly rootPem: string;
}

export interface LeafRequest {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: ArrayBuffer;
  readonly names: readonly { readonly type: 'url' | 'dns' | 'ip'; readonly value: string }[];
  readonly ttlSeconds: number;
}

export interface IssuedLeaf {
  readonly certPem: string;
  readonly notAfter: Date;
}

const ROOT_YEARS = 10;
/** Peers' clocks may be this far behind. */
const CLOCK_SKEW_MS = 120_000;

export class AuthorityError extends Error {
  override readonly name = 'AuthorityError';
}

/** Signs leaf certificates. Immutable: another root or key is another `Authority`. */
export class Authority {
  readonly material: AuthorityMaterial;
  readonly #key: SigningKey;
  readonly #certificate: x509.X509Certificate;
  /** What follows the leaf in an answer: intermediates one by one, then all roots in one text (5.1). */
  readonly #tail: readonly string[];

  private constructor(material: AuthorityMaterial, key: SigningKey, certificate: x509.X509Certificate) {
    this.material = material;
    this.#key = key;
    this.#certificate = certificate;
    const roots = new Set(splitCertificates(material.rootPem).map(fingerprint));
    const seen = new Set<string>();
    const intermediates = [...splitCertificates(material.certPem), ...splitCertificates(material.chainPem)].filter((pem) => {
      const id = fingerprint(pem);
      if (roots.has(id) || seen.has(id)) return false;
      seen.add(id);
      return true;
    });
    this.#tail = [...intermediates, material.rootPem];
  }

  /** Checks that the parts belong together; errors say which field of the Secret is wrong. */
  static async load(material: AuthorityMaterial): Promise<Authority> {
    const certPem = splitCertificates(material.certPem)[0];
    if (certPem === undefined) throw new AuthorityError('ca-cert.pem holds no certificate');
    if (splitCertificates(material.rootPem).length === 0) throw new AuthorityError('root-cert.pem holds no certificate');
    const certificate = parse(certPem, 'ca-cert.pem');
    let key: SigningKey;
    try {
      key = await importSigningKey(material.keyPem);
    } catch (error) {
      throw new AuthorityError(`ca-key.pem is not a usable private key: ${(error as Error).message}`);
    }
    if (!matchesCertificate(key.keyObject, certPem)) throw new AuthorityError('ca-key.pem does not belong to ca-cert.pem');
    if (certificate.getExtension(x509.BasicConstraintsExtension)?.ca !== true)
      throw new AuthorityError('ca-cert.pem is not a CA certificate (basicConstraints)');
    if (certificate.notAfter.getTime() < Date.now())
      throw new AuthorityError(`ca-cert.pem expired on ${certificate.notAfter.toISOString()}`);
    await checkChain(material, certificate);
    return new Authority(material, key, certificate);
  }

  /** A new self-signed root, ten years, P-256. */
  static async createRoot(organization: string, now: Date = new Date()): Promise<Authority> {
    const keys = await generateKeyPair();
    const notAfter = new Date(now);
    notAfter.setUTCFullYear(notAfter.getUTCFullYear() + ROOT_YEARS);
    const root = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: serialNumber(),
      name: [{ O: [organization] }],
      notBefore: new Date(now.getTime() - CLOCK_SKEW_MS),
      notAfter,
      keys,
      signingAlgorithm: P256,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    const certPem = `${root.toString('pem')}\n`;
    const keyPem = toPem('PRIVATE KEY', await crypto.subtle.exportKey('pkcs8', keys.privateKey));
    return Authority.load({ certPem, keyPem, chainPem: '', rootPem: certPem });
  }

  get rootPem(): string {
    return this.material.rootPem;
  }
  get notAfter(): Date {
    return this.#certificate.notAfter;
  }

  /** A leaf for both TLS roles; never valid for longer than the CA itself. */
  async issue(request: LeafRequest, now: Date = new Date()): Promise<IssuedLeaf> {
    const notAfter = new Date(Math.min(now.getTime() + request.ttlSeconds * 1000, this.#certificate.notAfter.getTime()));
    const publicKey = new x509.PublicKey(request.publicKey);
    const isRsa = publicKey.algorithm.name.startsWith('RSA');
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: '',
      issuer: this.#certificate.subjectName,
      notBefore: new Date(now.getTime() - CLOCK_SKEW_MS),
      notAfter,
      publicKey,
      signingKey: this.#key.key,
      signingAlgorithm: this.#key.algorithm,
      extensions: [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | (isRsa ? x509.KeyUsageFlags.keyEncipherment : 0), true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
        new x509.BasicConstraintsExtension(false, undefined, true),
        await x509.AuthorityKeyIdentifierExtension.create(this.#certificate.publicKey),
        new x509.SubjectAlternativeNameExtension([...request.names], true),
      ],
    });
    return { certPem: `${leaf.toString('pem')}\n`, notAfter };
  }

  /** `cert_chain` of 5.1: leaf, intermediates one each, then the roots. */
  chain(leaf: IssuedLeaf): string[] {
    return [leaf.certPem, ...this.#tail];
  }
}

/** The signing certificate must lead to a root, or every peer would refuse the leaves. */
async function checkChain(material: AuthorityMaterial, certificate: x509.X509Certificate): Promise<void> {
  const roots = splitCertificates(material.rootPem).map((pem) => parse(pem, 'root-cert.pem'));
  const between = splitCertificates(material.chainPem).map((pem) => parse(pem, 'cert-chain.pem'));
  let current = certificate;
  for (let depth = 0; depth <= between.length; depth++) {
    for (const root of roots) {
      if (current.equal(root) || (await isIssuedBy(current, root))) return;
    }
    let parent: x509.X509Certificate | undefined;
    for (const candidate of between) if (!candidate.equal(current) && (await isIssuedBy(current, candidate))) parent = candidate;
    if (parent === undefined) break;
    current = parent;
  }
  throw new AuthorityError('ca-cert.pem does not lead to a certificate of root-cert.pem through cert-chain.pem');
}

const isIssuedBy = async (child: x509.X509Certificate, parent: x509.X509Certificate): Promise<boolean> =>
  child.issuer === parent.subject && (await child.verify({ publicKey: parent.publicKey, signatureOnly: true }));

function parse(pem: string, field: string): x509.X509Certificate {
  try {
    return new x509.X509Certificate(pem);
  } catch (error) {
    throw new AuthorityError(`${field} holds a certificate that cannot be read: ${(error as Error).message}`);
  }
}

const fingerprint = (pem: string): string => pem.replace(/-----[^-]+-----|\s/g, '');

/** 127 random bits, never negative, never zero. */
function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}
