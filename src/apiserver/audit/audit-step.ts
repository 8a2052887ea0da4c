import { ApiError, errors } from '#api/machinery/errors.ts';
import { decideAudit } from '#auth/audit/policy.ts';
import type { Audit } from '#auth/audit/open-audit.ts';
import type { ApiResponse } from '#client/transport.ts';
import { type Call, attributesOf } from '../call.ts';
import type { AuditHook } from '../chain.ts';
import { isLongRunning } from '../in-flight.ts';
import { AuditRecord } from './audit-record.ts';

/** Writes down what the policy says of every request that passes, and of those whose user nobody could tell. */
export function auditHook(audit: Audit): AuditHook {
  return {
    step: (call, next) => audited(audit, call, next),
    async unauthenticated(call) {
      const record = begin(audit, call, false);
      if (!record) return;
      record.status = {
        metadata: {},
        status: 'Failure',
        message: `Authentication failed, attempted: ${attempted(call)}`,
        reason: 'Unauthorized',
        code: 401,
      };
      await record.emit('ResponseStarted');
    },
  };
}

function begin(audit: Audit, call: Call, isKnown: boolean): AuditRecord | undefined {
  const decision = decideAudit(audit.policy, attributesOf(call));
  audit.metrics.level(decision.level);
  if (decision.level === 'None') return undefined;
  return new AuditRecord(audit, call, decision, isKnown);
}

async function audited(audit: Audit, call: Call, next: () => Promise<ApiResponse>): Promise<ApiResponse> {
  const record = begin(audit, call, true);
  if (!record) return next();
  call.record = record;
  if (!(await record.emit('RequestReceived'))) {
    audit.metrics.rejected++;
    throw errors.internal('failed to store audit event');
  }
  const lasts = isLongRunning(call);
  let response: ApiResponse;
  try {
    response = await next();
  } catch (error) {
    if (error instanceof ApiError) {
      record.failed(error);
      if (lasts) await record.emit('ResponseStarted');
      await record.emit('ResponseComplete');
    } else {
      record.panicked(error);
      await record.emit('Panic');
    }
    throw error;
  }
  record.answered(response);
  if (!lasts) {
    await record.emit('ResponseComplete');
    return response;
  }
  await record.emit('ResponseStarted');
  if (response.kind === 'object' || response.kind === 'bytes') await record.emit('ResponseComplete');
  else whenGone(call.request.signal, () => void record.emit('ResponseComplete'));
  return response;
}

function whenGone(signal: AbortSignal, run: () => void): void {
  if (signal.aborted) run();
  else signal.addEventListener('abort', run, { once: true });
}

/** What a client tried to prove itself with, as upstream names it. */
function attempted(call: Call): string {
  const [scheme = ''] = call.header('authorization').split(' ');
  const ways = /^(basic|bearer)$/i.test(scheme) ? [scheme.toLowerCase()] : [];
  if (call.request.query.has('access_token')) ways.push('access_token');
  if (call.hasCertificate) ways.push('x509');
  return ways.length > 0 ? ways.join(', ') : 'no authentication method';
}
