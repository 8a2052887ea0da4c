import { errors } from '#api/machinery/errors.ts';
import { impersonate } from '#auth/authentication/impersonation.ts';
import { denied } from '#auth/authorization/denial.ts';
import type { ApiResponse } from '#client/transport.ts';
import { attributesOf, type Call } from './call.ts';
import { deadline } from './deadline.ts';

/** One step of the way of a request; it answers itself or asks the next one. */
export type Step = (call: Call, next: () => Promise<ApiResponse>) => Promise<ApiResponse>;

/** Sees every request when its user is known and every answer; for the audit log. */
export interface AuditHook {
  readonly step: Step;
  /** A request whose credentials are wrong. */
  unauthenticated(call: Call): Promise<void>;
}

/**
 * The steps between authentication and the verbs, outermost first, in upstream's order: flow control judges the
 * impersonated user, and what is refused by it is not worth an authorization.
 */
export function chainOf(trace: Step, audit: AuditHook | undefined, flowControl: Step | undefined): readonly Step[] {
  return [
    deadline,
    trace,
    ...(audit ? [audit.step] : []),
    impersonation,
    ...(flowControl ? [flowControl] : []),
    authorization,
  ];
}

/** Runs the steps around what finally answers. */
export function runChain(
  steps: readonly Step[],
  call: Call,
  answer: (call: Call) => Promise<ApiResponse>,
): Promise<ApiResponse> {
  const run = (at: number): Promise<ApiResponse> => {
    const step = steps[at];
    return step ? step(call, () => run(at + 1)) : answer(call);
  };
  return run(0);
}

const impersonation: Step = async (call, next) => {
  const { headers } = call.request;
  for (const name in headers) {
    if (!name.startsWith('impersonate-')) continue;
    call.user = await impersonate(call.user, headers, attributesOf(call), call.foundation.authorizer);
    break;
  }
  return next();
};

const authorization: Step = async (call, next) => {
  const attributes = attributesOf(call);
  const { decision, reason, error } = await call.foundation.authorizer.authorize(attributes);
  call.foundation.metrics.authorized(
    decision === 'allow' ? 'allowed' : error !== undefined ? 'error' : decision === 'deny' ? 'denied' : 'no-opinion',
  );
  if (error !== undefined && decision !== 'allow') {
    call.annotate('authorization.k8s.io/reason', 'internal error');
    throw errors.internal(error);
  }
  call.annotate('authorization.k8s.io/decision', decision === 'allow' ? 'allow' : 'forbid');
  if (reason !== '') call.annotate('authorization.k8s.io/reason', reason);
  if (decision !== 'allow') throw denied(attributes, reason);
  return next();
};
