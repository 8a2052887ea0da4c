import type { CertificateSigningRequest } from '#api/certificates/v1/certificate-signing-request.ts';
import type { ApiResponse } from '#client/transport.ts';
import type { Call } from '../call.ts';
import type { ChangeRules } from '../change-object.ts';
import type { Resource } from '../registry.ts';
import { formatTime } from '#api/machinery/time.ts';
import { get } from '../verbs/get.ts';
import { patch } from '../verbs/patch.ts';
import { update } from '../verbs/update.ts';

const decisions = ['Approved', 'Denied'];

/** Only the conditions Approved and Denied may be added; once there, they stay. */
export async function approval(call: Call, resource: Resource): Promise<ApiResponse> {
  const rules = approvalRules(() => call.foundation.clock.now());
  if (call.info.verb === 'get') return get(call, resource);
  return call.info.verb === 'patch' ? patch(call, resource, rules) : update(call, resource, rules);
}

function approvalRules(now: () => number): ChangeRules {
  return {
    prepare(draft, old) {
      const request = draft as unknown as { spec: unknown; status: Record<string, unknown> };
      const before = old as CertificateSigningRequest;
      const conditions = (request.status?.['conditions'] ?? []) as Record<string, unknown>[];
      const stamp = formatTime(now());
      for (const condition of conditions) {
        condition['lastUpdateTime'] ??= stamp;
        condition['lastTransitionTime'] ??= stamp;
      }
      request.spec = before.spec;
      request.status = { ...before.status, ...(conditions.length > 0 && { conditions }) };
    },
    validate(object, old, report) {
      const now = (object as CertificateSigningRequest).status?.conditions ?? [];
      const before = (old as CertificateSigningRequest).status?.conditions ?? [];
      const at = report.at('status', 'conditions');
      for (const type of decisions)
        if (before.some(each => each.type === type) && !now.some(each => each.type === type))
          at.forbidden(`updates may not remove a condition of type ${JSON.stringify(type)}`);
      if (decisions.every(type => now.some(each => each.type === type)))
        at.invalid('Denied', 'Approved and Denied conditions are mutually exclusive');
      for (const [index, { type, status }] of now.entries()) {
        if (!decisions.includes(type) || status === 'True') continue;
        at.index(index).at('status').notSupported(status, ['True']);
      }
    },
  };
}
