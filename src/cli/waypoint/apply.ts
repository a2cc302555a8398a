import { stringify } from 'yaml';
import { ApiError, isConflict, isNotFound, type KubeClient } from '../../platform/kubernetes/index.ts';
import { type ConnectionOptions, connect } from '../connection.ts';
import { CliError, EXIT } from '../exit.ts';
import { readDuration } from '../objects/wait.ts';
import { note, print, style } from '../output.ts';
import {
  GATEWAYS,
  type GatewayView,
  isProgrammed,
  isWaypoint,
  type ManifestOptions,
  NAMESPACES,
  USE_WAYPOINT_LABEL,
  waypointManifest,
} from './gateway.ts';
import { findServicesOfAccount, serviceAccountAnswer } from './service-account.ts';
import { whyNot } from './views.ts';

const POLL_MS = 200;
const LOOK_UP_LIMIT_MS = 3_000;

interface OldForm {
  readonly serviceAccount?: string;
}

export interface GenerateOptions extends ConnectionOptions, ManifestOptions, OldForm {
  readonly output: string;
}

/** `lateen waypoint generate`: the manifest, without asking any cluster. */
export const generate = async (options: GenerateOptions): Promise<void> => {
  if (options.serviceAccount !== undefined) throw await answerOldForm(options.serviceAccount, options);
  printObject(waypointManifest(options, options.namespace), options.output);
};

export interface ApplyWaypointOptions extends ConnectionOptions, ManifestOptions, OldForm {
  readonly enrollNamespace?: boolean;
  readonly overwrite?: boolean;
  readonly wait?: boolean;
  readonly timeout: string;
  readonly output?: string;
}

/** `lateen waypoint apply`: creates or changes the Gateway, waits for it, and then enrols the namespace. */
export const applyWaypoint = async (options: ApplyWaypointOptions): Promise<void> => {
  if (options.serviceAccount !== undefined) throw await answerOldForm(options.serviceAccount, options);
  const limitMs = readDuration(options.timeout);
  const { client, namespace } = connect(options);
  const manifest = waypointManifest(options, namespace);
  const name = manifest.metadata?.name ?? '';
  if (options.enrollNamespace === true) await checkEnrolment(client, namespace, name, options.overwrite === true);
  const before = await client.get(GATEWAYS, name, { namespace }).catch(orNothing);
  if (before !== undefined && !isWaypoint(before))
    throw new CliError(
      `gateway ${namespace}/${name}: spec.gatewayClassName is ${before.spec?.gatewayClassName ?? 'not set'}, so it is no waypoint and was left alone`,
      EXIT.refused,
      'Choose another name with --name.',
    );
  const say = options.output === undefined ? print : note;
  await client.apply(GATEWAYS, manifest, { namespace, fieldManager: 'lateen', force: false }).catch((error: unknown) => {
    if (error instanceof ApiError && isConflict(error))
      throw new CliError(
        `gateway ${namespace}/${name}: ${error.message}`,
        EXIT.refused,
        `Another tool owns that field. Change it there, or: lateen waypoint generate … | lateen apply -f -`,
      );
    throw error;
  });
  say(`waypoint ${namespace}/${name} applied`);
  if (options.wait === true) {
    await untilProgrammed(client, namespace, name, limitMs, options.timeout);
    say(`waypoint ${namespace}/${name} is ready!`);
  }
  if (options.enrollNamespace === true) {
    await client.patch(NAMESPACES, namespace, { metadata: { labels: { [USE_WAYPOINT_LABEL]: name } } }, { fieldManager: 'lateen' });
    say(`namespace ${namespace} labeled with "${USE_WAYPOINT_LABEL}: ${name}"`);
  }
  if (options.output !== undefined) printObject(await client.get(GATEWAYS, name, { namespace }), options.output);
};

/** Refuses to take a namespace away from another waypoint, and says so when the label alone would do nothing. */
const checkEnrolment = async (client: KubeClient, namespace: string, name: string, overwrite: boolean): Promise<void> => {
  const labels = (await client.get(NAMESPACES, namespace)).metadata?.labels ?? {};
  const current = labels[USE_WAYPOINT_LABEL];
  if (current !== undefined && current !== name && !overwrite)
    throw new CliError(
      `namespace ${namespace}: label ${USE_WAYPOINT_LABEL} is already "${current}"; nothing was changed`,
      EXIT.refused,
      'Add --overwrite to move the namespace to this waypoint.',
    );
  if (labels['istio.io/dataplane-mode'] !== 'ambient')
    note(
      `${style.yellow('warning:')} namespace ${namespace} is not in the mesh, so its own pods do not send through a waypoint. Consider: lateen label namespace ${namespace} istio.io/dataplane-mode=ambient`,
    );
};

/** Waits for `Programmed`; the error says what the control plane said last. */
const untilProgrammed = async (client: KubeClient, namespace: string, name: string, limitMs: number, limit: string): Promise<void> => {
  const end = performance.now() + limitMs;
  for (;;) {
    const gateway = await client.get(GATEWAYS, name, { namespace });
    if (isProgrammed(gateway)) return;
    if (performance.now() >= end)
      throw new CliError(
        `waypoint ${namespace}/${name} was not ready within ${limit}: ${whyNot(gateway)}`,
        EXIT.timeout,
        `Its pods: lateen get pods -n ${namespace} -l gateway.networking.k8s.io/gateway-name=${name}; longer: --timeout.`,
      );
    await Bun.sleep(POLL_MS);
  }
};

const answerOldForm = async (account: string, options: ConnectionOptions & ManifestOptions): Promise<CliError> => {
  const general = { ...(options.name !== undefined && { name: options.name }) };
  try {
    const { client, namespace } = connect(options);
    const found = await Promise.race([findServicesOfAccount(client, namespace, account), Bun.sleep(LOOK_UP_LIMIT_MS).then(() => [])]);
    return serviceAccountAnswer(account, { ...general, namespace }, found);
  } catch {
    // No cluster is needed to say what the option means today.
    return serviceAccountAnswer(account, { ...general, ...(options.namespace !== undefined && { namespace: options.namespace }) }, []);
  }
};

const orNothing = (error: unknown): undefined => {
  if (isNotFound(error)) return undefined;
  throw error;
};

const printObject = (object: GatewayView, output: string): void => {
  if (output !== 'json' && output !== 'yaml') throw new CliError(`-o ${output}: not an output format`, EXIT.usage, 'Use json or yaml.');
  print(output === 'json' ? JSON.stringify(object, null, 4) : stringify(object).trimEnd());
};
