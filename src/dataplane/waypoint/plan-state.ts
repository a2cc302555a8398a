/** Route plans from the control plane, or from a file. */
import fs from 'node:fs';
import { fromBinary } from '@bufbuild/protobuf';
import { decodeServicePlan } from '../../mesh/http/index.ts';
import { SERVICE_PLAN_TYPE, ServicePlanMessageSchema } from '../../protocol/index.ts';
import type { XdsHandler, XdsRejection } from '../core/xds-client.ts';
import type { Traffic } from './traffic.ts';

/** A plan that cannot be used is refused by name and the one before stays in force. */
export const planHandler = (traffic: Traffic): XdsHandler => ({
  typeUrl: SERVICE_PLAN_TYPE,
  apply: (resources, removed) => {
    const rejections: XdsRejection[] = [];
    for (const name of removed) traffic.removePlan(name);
    for (const { name, value } of resources) {
      const decoded = decodeServicePlan(fromBinary(ServicePlanMessageSchema, value).plan);
      if (decoded.ok) traffic.setPlan(decoded.value);
      else rejections.push({ name, reason: decoded.error });
    }
    return rejections;
  },
});

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
