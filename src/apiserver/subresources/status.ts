import type { ApiResponse } from '#client/transport.ts';
import type { Call } from '../call.ts';
import type { Resource } from '../registry.ts';
import { get } from '../verbs/get.ts';
import { patch } from '../verbs/patch.ts';
import { update } from '../verbs/update.ts';

/** The same object, of which only the status may be changed. */
export function status(call: Call, resource: Resource): Promise<ApiResponse> {
  switch (call.info.verb) {
    case 'get':
      return get(call, resource);
    case 'patch':
      return patch(call, resource);
    default:
      return update(call, resource);
  }
}
