import { readFileSync } from 'node:fs';
import type { ClientConfig, ExecPlugin } from './kubeconfig.ts';
import { KubeConfigError } from './kubeconfig.ts';

/** What one request presents. */
export interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  readonly clientCertPem?: string;
  readonly clientKeyPem?: string;
}

/** A plugin's answer without an expiry is kept until the server refuses it; with one, until this long before it. */
const EXPIRY_MARGIN_MS = 10_000;
const PLUGIN_TIMEOUT_MS = 60_000;

interface PluginAnswer {
  readonly token?: string;
  readonly clientCertPem?: string;
  readonly clientKeyPem?: string;
  readonly expiresAt: number;
}

/** Produces the headers and certificates of each request; runs credential plugins when needed. */
export class CredentialSource {
  readonly #config: ClientConfig;
  #answer: PluginAnswer | undefined;
  #running: Promise<PluginAnswer> | undefined;

  constructor(config: ClientConfig) {
    this.#config = config;
  }

  async current(now: number = Date.now()): Promise<Credentials> {
    const config = this.#config;
    const headers: Record<string, string> = {};
    let { clientCertPem, clientKeyPem } = config;
    let token = config.tokenFile !== undefined ? readFileSync(config.tokenFile, 'utf8').trim() : config.token;
    if (token === undefined && clientCertPem === undefined && config.exec !== undefined) {
      const answer = await this.#pluginAnswer(config.exec, now);
      token = answer.token;
      clientCertPem = answer.clientCertPem ?? clientCertPem;
      clientKeyPem = answer.clientKeyPem ?? clientKeyPem;
    }
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
    else if (config.basic !== undefined)
      headers['authorization'] = `Basic ${Buffer.from(`${config.basic.username}:${config.basic.password}`).toString('base64')}`;
    if (config.impersonate !== undefined) {
      headers['impersonate-user'] = config.impersonate.user;
      if (config.impersonate.uid !== undefined) headers['impersonate-uid'] = config.impersonate.uid;
      if (config.impersonate.groups.length > 0) headers['impersonate-group'] = config.impersonate.groups.join(',');
    }
    return { headers, ...(clientCertPem !== undefined && { clientCertPem }), ...(clientKeyPem !== undefined && { clientKeyPem }) };
  }

  /** The server said 401: forget what a plugin gave. Returns whether asking again can help. */
  invalidate(): boolean {
    const had = this.#answer !== undefined;
    this.#answer = undefined;
    return had;
  }

  async #pluginAnswer(plugin: ExecPlugin, now: number): Promise<PluginAnswer> {
    if (this.#answer !== undefined && now < this.#answer.expiresAt - EXPIRY_MARGIN_MS) return this.#answer;
    this.#running ??= runPlugin(plugin, this.#config).finally(() => {
      this.#running = undefined;
    });
    this.#answer = await this.#running;
    return this.#answer;
  }
}

async function runPlugin(plugin: ExecPlugin, config: ClientConfig): Promise<PluginAnswer> {
  const interactive = plugin.interactiveMode !== 'Never' && process.stdin.isTTY === true;
  if (plugin.interactiveMode === 'Always' && !interactive) {
    throw new KubeConfigError(`The credential plugin ${plugin.command} needs a terminal (interactiveMode: Always); there is none.`);
  }
  const cluster = plugin.provideClusterInfo
    ? {
        cluster: {
          server: config.server,
          ...(config.caPem !== undefined && { 'certificate-authority-data': Buffer.from(config.caPem).toString('base64') }),
        },
      }
    : {};
  const info = JSON.stringify({ apiVersion: plugin.apiVersion, kind: 'ExecCredential', spec: { ...cluster, interactive } });
  let child: Bun.Subprocess<'inherit' | 'ignore', 'pipe', 'inherit'>;
  try {
    child = Bun.spawn([plugin.command, ...plugin.args], {
      env: { ...process.env, ...Object.fromEntries(plugin.env.map((item) => [item.name, item.value])), KUBERNETES_EXEC_INFO: info },
      stdin: interactive ? 'inherit' : 'ignore',
      stdout: 'pipe',
      stderr: 'inherit',
      timeout: PLUGIN_TIMEOUT_MS,
    });
  } catch (error) {
    throw new KubeConfigError(
      `The credential plugin ${plugin.command} cannot be started: ${(error as Error).message}. ${plugin.installHint ?? 'Install it or choose another context.'}`,
      { cause: error },
    );
  }
  const output = await new Response(child.stdout).text();
  const code = await child.exited;
  if (code !== 0) throw new KubeConfigError(`The credential plugin ${plugin.command} failed with exit code ${code}.`);
  return parseAnswer(output, plugin);
}

function parseAnswer(output: string, plugin: ExecPlugin): PluginAnswer {
  let parsed: { kind?: string; status?: Record<string, string> };
  try {
    parsed = JSON.parse(output);
  } catch (error) {
    throw new KubeConfigError(`The credential plugin ${plugin.command} did not print an ExecCredential as JSON.`, { cause: error });
  }
  const status = parsed.status ?? {};
  const { token, clientCertificateData, clientKeyData, expirationTimestamp } = status;
  if (parsed.kind !== 'ExecCredential' || (token === undefined && (clientCertificateData === undefined || clientKeyData === undefined))) {
    throw new KubeConfigError(`The credential plugin ${plugin.command} returned neither a token nor a client certificate with its key.`);
  }
  return {
    ...(token !== undefined && { token }),
    ...(clientCertificateData !== undefined && { clientCertPem: clientCertificateData }),
    ...(clientKeyData !== undefined && { clientKeyPem: clientKeyData }),
    expiresAt: expirationTimestamp === undefined ? Number.POSITIVE_INFINITY : Date.parse(expirationTimestamp),
  };
}
