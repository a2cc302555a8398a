import { createHash, timingSafeEqual } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { User } from './request.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';

export const ANONYMOUS: User = { name: 'system:anonymous', uid: '', groups: ['system:unauthenticated'], extra: {} };
/** An unknown token makes the component tokens be read again, at most this often. */
const RELOAD_INTERVAL = 1000;

interface StaticToken {
  readonly digest: Buffer;
  readonly user: User;
}

const digestOf = (token: string): Buffer => createHash('sha256').update(token).digest();
const user = (name: string, ...groups: string[]): User => ({ name, uid: '', groups: [...groups, 'system:authenticated'], extra: {} });

/** Who a bearer token belongs to: the admin's file, the components' files, or a service account. */
export class Authentication {
  readonly #tokens: ServiceAccountTokens;
  readonly #stateDir: string;
  #table: StaticToken[] = [];
  #loadedAt = 0;

  constructor(stateDir: string, tokens: ServiceAccountTokens) {
    this.#stateDir = stateDir;
    this.#tokens = tokens;
    this.#load();
  }

  #load(): void {
    this.#loadedAt = Date.now();
    const table: StaticToken[] = [];
    const add = (path: string, who: User) => {
      const token = readFileSync(path, 'utf8').trim();
      if (token !== '') table.push({ digest: digestOf(token), user: who });
    };
    add(join(this.#stateDir, 'admin.token'), user('kubernetes-admin', 'system:masters'));
    const directory = join(this.#stateDir, 'components');
    for (const file of existsSync(directory) ? readdirSync(directory) : []) {
      if (!file.endsWith('.token')) continue;
      const component = file.slice(0, -'.token'.length);
      if (component === 'controllers') add(join(directory, file), user('system:kube-controller-manager'));
      else if (component.startsWith('node-'))
        add(join(directory, file), user(`system:node:${component.slice('node-'.length)}`, 'system:nodes'));
    }
    this.#table = table;
  }

  /** The caller; anonymous without credentials; undefined when the credentials are bad. */
  async authenticate(authorization: string | null): Promise<User | undefined> {
    if (authorization === null || authorization === '') return ANONYMOUS;
    const match = /^Bearer\s+(\S+)$/i.exec(authorization.trim());
    if (match === null) return undefined;
    const token = match[1]!;
    const known = this.#find(token);
    if (known !== undefined) return known;
    if (token.split('.').length !== 3) return undefined;
    const verified = await this.#tokens.verify(token, []);
    return 'user' in verified ? verified.user : undefined;
  }

  #find(token: string): User | undefined {
    const digest = digestOf(token);
    const search = () => this.#table.find((entry) => timingSafeEqual(entry.digest, digest))?.user;
    const found = search();
    if (found !== undefined || Date.now() - this.#loadedAt < RELOAD_INTERVAL || token.split('.').length === 3) return found;
    this.#load();
    return search();
  }
}
