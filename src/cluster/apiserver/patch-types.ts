import { badRequest, unsupportedMediaType } from './errors.ts';
import { isObject } from './json.ts';
import { jsonPatch, mergePatch } from './patches.ts';
import type { ResourceType } from './resources.ts';
import type { StoredObject } from './store.ts';
import { strategicMerge } from './strategic-merge.ts';

/** Applies a patch of this media type to an object. Custom kinds have no strategic merge. */
export function patchWith(media: string, current: StoredObject, patch: unknown, type: ResourceType, version: string): unknown {
  switch (media) {
    case 'application/json-patch+json':
      return jsonPatch(current, patch);
    case 'application/merge-patch+json':
      if (!isObject(patch)) throw badRequest('a merge patch is an object');
      return mergePatch(current, patch);
    case 'application/strategic-merge-patch+json':
      if (type.isCustom)
        throw unsupportedMediaType('application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml');
      if (!isObject(patch)) throw badRequest('a strategic merge patch is an object');
      return strategicMerge(current, patch, type.schema(version));
    default:
      throw unsupportedMediaType(
        'application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml',
      );
  }
}
