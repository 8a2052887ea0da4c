import type { Clock } from '#base/clock.ts';
import { parseFieldSelector, parseLabelSelector } from '#api/machinery/selector.ts';
import type { Expression } from '../expressions.ts';
import { postWithRetries, type Outgoing } from '../outgoing.ts';
import type { Attributes, Authorizer, Decision } from './authorizer.ts';

export interface WebhookAuthorizerOptions {
  readonly name: string;
  readonly outgoing: Outgoing;
  readonly version: 'v1' | 'v1beta1';
  /** 0: not remembered. */
  readonly authorizedMs: number;
  readonly unauthorizedMs: number;
  /** What it counts as when the webhook cannot be asked. */
  readonly onFailure: 'noOpinion' | 'deny';
  /** All must hold for the webhook to be asked. */
  readonly conditions: readonly Expression[];
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

interface Status {
  readonly allowed?: boolean;
  readonly denied?: boolean;
  readonly reason?: string;
}

/** Answers that are remembered, as many as upstream. */
const entriesMax = 8_192;
/** What a client can make long at will is not remembered when it is longer than this. */
const controlledLengthMax = 10_000;

/** Asks another program by a SubjectAccessReview. */
export function webhookAuthorizer(options: WebhookAuthorizerOptions): Authorizer {
  const { outgoing, version, onFailure, conditions, clock, signal } = options;
  const apiVersion = `authorization.k8s.io/${version}`;
  const known = new Map<string, { readonly status: Status; readonly untilMs: number }>();
  const failed = (error: unknown): Decision => ({ decision: onFailure, reason: '', error: (error as Error).message });

  const ask = async (spec: object, key: string, asked: Attributes): Promise<Status> => {
    const found = known.get(key);
    known.delete(key);
    if (found && found.untilMs > clock.monotonic()) {
      known.set(key, found);
      return found.status;
    }
    const body = JSON.stringify({
      apiVersion,
      kind: 'SubjectAccessReview',
      metadata: {},
      spec: inVersion(spec, version),
    });
    const { text } = await postWithRetries(outgoing, body, clock, signal);
    const answer = JSON.parse(text) as {
      readonly kind?: string;
      readonly apiVersion?: string;
      readonly status?: Status;
    };
    if (answer.kind !== 'SubjectAccessReview' || answer.apiVersion !== apiVersion)
      throw new Error(
        `the webhook answered with ${answer.apiVersion} ${answer.kind}, not with ${apiVersion} SubjectAccessReview`,
      );
    const status = answer.status ?? {};
    const forMs = status.allowed ? options.authorizedMs : options.unauthorizedMs;
    if (forMs > 0 && controlledLength(asked) < controlledLengthMax) {
      known.set(key, { status, untilMs: clock.monotonic() + forMs });
      const oldest = known.size > entriesMax ? known.keys().next().value : undefined;
      if (oldest !== undefined) known.delete(oldest);
    }
    return status;
  };

  return {
    name: options.name,
    async authorize(asked) {
      const spec = specOf(asked);
      try {
        if (conditions.length > 0 && !allHold(conditions, spec)) return { decision: 'noOpinion', reason: '' };
        const { allowed, denied, reason = '' } = await ask(spec, JSON.stringify(spec), asked);
        if (denied && allowed)
          return {
            decision: 'deny',
            reason,
            error: 'webhook subject access review returned both allow and deny response',
          };
        return { decision: denied ? 'deny' : allowed ? 'allow' : 'noOpinion', reason };
      } catch (error) {
        return failed(error);
      }
    },
    rulesFor: () => ({
      resourceRules: [],
      nonResourceRules: [],
      incomplete: true,
      evaluationError: 'webhook authorizer does not support user rule resolution',
    }),
  };
}

/** A condition that does not hold counts more than one that cannot be evaluated. */
function allHold(conditions: readonly Expression[], spec: ReviewSpec): boolean {
  const failures: string[] = [];
  const request = completed(spec);
  for (const condition of conditions) {
    try {
      const value = condition.evaluate(request);
      if (value === false) return false;
      if (value !== true) throw new Error('the result is no boolean');
    } catch (error) {
      failures.push(
        `cel evaluation error: expression '${condition.text}' resulted in error: ${(error as Error).message}`,
      );
    }
  }
  if (failures.length > 0) throw new Error(failures.length === 1 ? failures[0] : `[${failures.join(', ')}]`);
  return true;
}

interface ReviewSpec {
  readonly resourceAttributes?: object;
  readonly nonResourceAttributes?: object;
}

/** The spec of the review; what is empty is left out, as Go does. */
function specOf(asked: Attributes): ReviewSpec {
  const { user } = asked;
  return {
    ...(asked.resourceRequest
      ? { resourceAttributes: { ...filled(resourceOf(asked)), ...selectorsOf(asked) } }
      : { nonResourceAttributes: filled({ path: asked.path, verb: asked.verb }) }),
    ...filled({ user: user.name }),
    ...(user.groups.length > 0 && { groups: user.groups }),
    ...(user.extra && Object.keys(user.extra).length > 0 && { extra: user.extra }),
    ...filled({ uid: user.uid ?? '' }),
  };
}

/** What expressions see has every field, also the empty ones. */
function completed(spec: ReviewSpec): object {
  const nothing = { namespace: '', verb: '', group: '', version: '', resource: '', subresource: '', name: '' };
  return {
    user: '',
    groups: [],
    uid: '',
    extra: {},
    ...spec,
    ...(spec.resourceAttributes && { resourceAttributes: { ...nothing, ...spec.resourceAttributes } }),
    ...(spec.nonResourceAttributes && { nonResourceAttributes: { path: '', verb: '', ...spec.nonResourceAttributes } }),
  };
}

function resourceOf({ namespace, verb, group, version, resource, subresource, name }: Attributes) {
  return { namespace, verb, group, version, resource, subresource, name };
}

function filled(fields: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));
}

/** The older version calls groups `group`. */
function inVersion(spec: object, version: 'v1' | 'v1beta1'): object {
  if (version === 'v1' || !('groups' in spec)) return spec;
  const { groups, ...rest } = spec;
  return { ...rest, group: groups };
}

/** Selectors narrow what is asked for: one that cannot be read is left out, and the question is the broader one. */
function selectorsOf({ fieldSelector, labelSelector }: Attributes): object {
  const fields = fieldRequirements(fieldSelector ?? '');
  const labels = labelRequirements(labelSelector ?? '');
  return {
    ...(fields.length > 0 && { fieldSelector: { requirements: fields } }),
    ...(labels.length > 0 && { labelSelector: { requirements: labels } }),
  };
}

function fieldRequirements(text: string): object[] {
  if (text === '') return [];
  try {
    return parseFieldSelector(text).map(({ field, operator, value }) => ({
      key: field,
      operator: operator === '!=' ? 'NotIn' : 'In',
      values: [value],
    }));
  } catch {
    // The verb that gets it refuses it.
    return [];
  }
}

const labelOperators: Readonly<Record<string, string>> = {
  in: 'In',
  '=': 'In',
  '==': 'In',
  notin: 'NotIn',
  '!=': 'NotIn',
  exists: 'Exists',
  '!': 'DoesNotExist',
};

function labelRequirements(text: string): object[] {
  if (text === '') return [];
  try {
    return parseLabelSelector(text).flatMap(({ key, operator, values }) => {
      const named = labelOperators[operator];
      return named === undefined ? [] : [{ key, operator: named, ...(values.length > 0 && { values }) }];
    });
  } catch {
    // The verb that gets it refuses it.
    return [];
  }
}

function controlledLength({ namespace, verb, group, version, resource, subresource, name, path }: Attributes): number {
  return [namespace, verb, group, version, resource, subresource, name, path].join('').length;
}
