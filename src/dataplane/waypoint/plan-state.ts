/** Route plans from the control plane, or from a file. */
import fs from 'node:fs';
import { decodeServicePlan } from '../../mesh/http/index.ts';
import { decodeMessage, SERVICE_PLAN_TYPE, ServicePlanTable } from '../../protocol/index.ts';
import type { XdsHandler, XdsRejection } from '../core/xds-client.ts';
import { LIMITS } from './limits.ts';
import type { Traffic } from './traffic.ts';

/**
 * A plan that cannot be used is refused by name and the one before stays in force. That of a service which no longer comes through this waypoint stays
 * for those who have not heard of it ({@link LIMITS.LEAVING}).
 */
export const planHandler = (traffic: Traffic, hasLeft: (service: string) => boolean): XdsHandler => {
  const leaving = new Map<string, ReturnType<typeof setTimeout>>();
  const leave = (service: string): void => {
    leaving.delete(service);
    traffic.removePlan(service);
  };
  return {
    typeUrl: SERVICE_PLAN_TYPE,
    apply: (resources, removed) => {
      const rejections: XdsRejection[] = [];
      for (const name of [...removed, ...resources.map((resource) => resource.name)]) {
        clearTimeout(leaving.get(name));
        leaving.delete(name);
      }
      for (const name of removed) {
        if (hasLeft(name)) leaving.set(name, setTimeout(leave, LIMITS.LEAVING, name).unref());
        else traffic.removePlan(name);
      }
      for (const { name, value } of resources) {
        const message = decodeMessage(ServicePlanTable, value);
        const decoded = message.ok ? decodeServicePlan(message.value.plan) : message;
        if (decoded.ok) traffic.setPlan(decoded.value);
        else rejections.push({ name, reason: decoded.error });
      }
      return rejections;
    },
  };
};

/** A JSON array of ServicePlans. Throws with the file's name, the plan and the reason. */
export function applyLocalPlans(traffic: Traffic, path: string): void {
  const plans: unknown = JSON.parse(fs.readFileSync(path, 'utf8'));
  if (!Array.isArray(plans)) throw new Error(`${path}: must be a JSON array of plans`);
  for (const [index, plan] of plans.entries()) {
    const decoded = decodeServicePlan(new TextEncoder().encode(JSON.stringify(plan)));
    if (!decoded.ok) throw new Error(`${path}: [${index}]: ${decoded.error}`);
    traffic.setPlan(decoded.value);
  }
}
