/** AuthorizationPolicies and the inbound connections of one pod: asked when a connection begins, and again when they or the pod change. */
import {
  type Authorization,
  authorize,
  type Connection,
  type Decision,
  POLICY_CHANGE_MESSAGE,
  policiesFor,
  type Workload,
} from '../../mesh/index.ts';
import { type ConnectionEnd, endOf } from '../core/end-reason.ts';
import type { ProxyContext } from './context.ts';

/** An accepted inbound connection that policies keep applying to. */
export interface EnforcedConnection {
  readonly connection: Connection;
  close(end: ConnectionEnd): void;
}

export class PolicyGuard {
  readonly #context: ProxyContext;
  readonly #enforced = new Set<EnforcedConnection>();
  #policiesAt = -1;
  #policies: readonly Authorization[] = [];

  constructor(context: ProxyContext) {
    this.#context = context;
  }

  /** Whether a connection to the pod `local` may begin; says what the operator asked to see of decisions. */
  decide(local: Workload, connection: Connection): Decision {
    const decision = authorize(this.#policiesOf(local), connection);
    this.#log(decision, connection);
    return decision;
  }

  enforce(connection: EnforcedConnection): void {
    this.#enforced.add(connection);
  }

  release(connection: EnforcedConnection): void {
    this.#enforced.delete(connection);
  }

  /** Policies, or the list of them that the pod has, may be others: ends what they do not allow any more. */
  changed(local: Workload): void {
    const policies = this.#policiesOf(local);
    for (const enforced of this.#enforced)
      if (!authorize(policies, enforced.connection).allowed) enforced.close({ ...endOf('policy-change'), message: POLICY_CHANGE_MESSAGE });
  }

  /** Ends every connection. */
  close(end: ConnectionEnd): void {
    for (const enforced of [...this.#enforced]) enforced.close(end);
  }

  #policiesOf(local: Workload): readonly Authorization[] {
    const { registry, log } = this.#context;
    if (this.#policiesAt !== registry.version) {
      this.#policiesAt = registry.version;
      const { policies, missing } = policiesFor(registry, local);
      this.#policies = policies;
      if (missing.length > 0)
        log.warn('policies of a workload have not arrived and are not enforced', { workload: local.uid, policies: missing.join(', ') });
    }
    return this.#policies;
  }

  #log(decision: Decision, connection: Connection): void {
    const { config, log } = this.#context;
    for (const { policy, action, matched } of decision.dryRun)
      log.info('dry-run policy', { policy, action, matched, source: connection.sourceIp, port: connection.destinationPort });
    const text = decision.allowed ? 'policy allows' : 'policy denies';
    const fields = {
      policy: decision.policy,
      reason: decision.reason || undefined,
      source: connection.sourceIp,
      port: connection.destinationPort,
    };
    if (config.authzInfoLogging) log.info(text, fields);
    else if (log.enabled('debug')) log.debug(text, fields);
  }
}
