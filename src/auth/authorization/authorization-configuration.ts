import { existsSync, statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { parseGoDuration } from '#api/machinery/duration.ts';
import { isDNS1123Subdomain } from '#api/machinery/names.ts';
import { Report } from '#api/machinery/validation.ts';
import { readConfiguration, type Shape } from '../configuration-file.ts';
import type { Expression, Expressions } from '../expressions.ts';

/** One authorizer of an `AuthorizationConfiguration`, checked. */
export type AuthorizerConfiguration =
  | { readonly type: Exclude<AuthorizerType, 'Webhook'>; readonly name: string }
  | { readonly type: 'Webhook'; readonly name: string; readonly webhook: WebhookConfiguration };

export interface WebhookConfiguration {
  readonly kubeConfigFile: string;
  readonly version: 'v1' | 'v1beta1';
  readonly timeoutMs: number;
  /** 0: not remembered. */
  readonly authorizedMs: number;
  readonly unauthorizedMs: number;
  readonly onFailure: 'noOpinion' | 'deny';
  readonly conditions: readonly Expression[];
}

export const authorizerTypes = ['ABAC', 'AlwaysAllow', 'AlwaysDeny', 'Node', 'RBAC', 'Webhook'] as const;
export type AuthorizerType = (typeof authorizerTypes)[number];

/** As it is written. */
interface Written {
  readonly type?: string;
  readonly name?: string;
  readonly webhook?: WrittenWebhook;
}

interface WrittenWebhook {
  readonly authorizedTTL?: string;
  readonly cacheAuthorizedRequests?: boolean;
  readonly unauthorizedTTL?: string;
  readonly cacheUnauthorizedRequests?: boolean;
  readonly timeout?: string;
  readonly subjectAccessReviewVersion?: string;
  readonly matchConditionSubjectAccessReviewVersion?: string;
  readonly failurePolicy?: string;
  readonly connectionInfo?: { readonly type?: string; readonly kubeConfigFile?: string };
  readonly matchConditions?: readonly { readonly expression?: string }[];
}

const shape: Shape = {
  authorizers: [
    {
      type: 'string',
      name: 'string',
      webhook: {
        authorizedTTL: 'string',
        cacheAuthorizedRequests: 'boolean',
        unauthorizedTTL: 'string',
        cacheUnauthorizedRequests: 'boolean',
        timeout: 'string',
        subjectAccessReviewVersion: 'string',
        matchConditionSubjectAccessReviewVersion: 'string',
        failurePolicy: 'string',
        connectionInfo: { type: 'string', kubeConfigFile: 'string' },
        matchConditions: [{ expression: 'string' }],
      },
    },
  ],
};

const defaultAuthorizedMs = 5 * 60_000;
const defaultUnauthorizedMs = 30_000;
const timeoutMsMax = 30_000;
const conditionsMax = 64;

/** Reads the file of `--authorization-config`. Throws all that is wrong with it, by field. */
export async function readAuthorizationConfiguration(
  text: string,
  expressions: () => Promise<Expressions>,
): Promise<readonly AuthorizerConfiguration[]> {
  const document = readConfiguration(text, 'AuthorizationConfiguration', ['v1', 'v1beta1'], shape);
  const authorizers = (document['authorizers'] ?? []) as readonly Written[];
  const usesExpressions = authorizers.some(({ webhook }) => (webhook?.matchConditions?.length ?? 0) > 0);
  const compiler = usesExpressions ? await expressions() : undefined;
  const report = new Report();
  const list = report.at('authorizers');
  if (authorizers.length === 0) list.required('at least one authorization mode must be defined');
  const checked: AuthorizerConfiguration[] = [];
  const types = new Set<string>();
  const names = new Set<string>();
  for (const [position, { type = '', name = '', webhook }] of authorizers.entries()) {
    const at = list.index(position);
    const known = authorizerTypes.find(each => each === type);
    if (type === '') at.at('type').required();
    else if (known === undefined) at.at('type').notSupported(type, authorizerTypes);
    else if (types.has(type) && type !== 'Webhook') at.at('type').duplicate(type);
    else {
      types.add(type);
      if (name === '') at.at('name').required();
      else if (names.has(name)) at.at('name').duplicate(name);
      else {
        const wrong = isDNS1123Subdomain(name);
        if (wrong.length > 0) at.at('name').invalid(name, `authorizer name is invalid: ${wrong.join(', ')}`);
      }
      names.add(name);
      if (known !== 'Webhook') {
        if (webhook) at.at('webhook').invalid('non-null', 'may only be specified when type=Webhook');
        checked.push({ type: known, name });
      } else if (!webhook) at.at('webhook').required('required when type=Webhook');
      else checked.push({ type: known, name, webhook: checkWebhook(webhook, compiler, at) });
    }
  }
  if (report.errors.length > 0)
    throw new Error(
      `invalid authorization configuration: ${report.errors.map(({ field, message }) => `${field}: ${message}`).join(', ')}`,
    );
  return checked;
}

/** Paths are without `webhook`, as upstream reports them. */
function checkWebhook(webhook: WrittenWebhook, compiler: Expressions | undefined, at: Report): WebhookConfiguration {
  const timeoutMs = durationOf(webhook.timeout, 0, at.at('timeout'));
  if (timeoutMs === 0) at.at('timeout').required();
  else if (timeoutMs < 0 || timeoutMs > timeoutMsMax)
    at.at('timeout').invalid(webhook.timeout, 'must be > 0s and <= 30s');
  const lifetime = (name: 'authorizedTTL' | 'unauthorizedTTL', otherwiseMs: number) => {
    const forMs = durationOf(webhook[name], otherwiseMs, at.at(name));
    if (forMs < 0) at.at(name).invalid(webhook[name], 'must be > 0s');
    // Zero is not said.
    return forMs === 0 ? otherwiseMs : forMs;
  };
  const authorizedMs = lifetime('authorizedTTL', defaultAuthorizedMs);
  const unauthorizedMs = lifetime('unauthorizedTTL', defaultUnauthorizedMs);
  const one = <Value extends string>(name: keyof WrittenWebhook, values: readonly Value[]) => {
    const value = (webhook[name] ?? '') as string;
    const known = values.find(each => each === value);
    if (value === '') at.at(name).required();
    else if (known === undefined) at.at(name).notSupported(value, values);
    return known ?? (values[0] as Value);
  };
  const version = one('subjectAccessReviewVersion', ['v1', 'v1beta1']);
  const conditions = webhook.matchConditions ?? [];
  const conditionVersion = webhook.matchConditionSubjectAccessReviewVersion ?? '';
  if (conditionVersion === '' && conditions.length > 0)
    at.at('matchConditionSubjectAccessReviewVersion').required('required if match conditions are specified');
  if (conditionVersion !== '' && conditionVersion !== 'v1')
    at.at('matchConditionSubjectAccessReviewVersion').notSupported(conditionVersion, ['v1']);
  const failurePolicy = one('failurePolicy', ['NoOpinion', 'Deny']);
  return {
    kubeConfigFile: checkConnection(webhook.connectionInfo ?? {}, at.at('connectionInfo')),
    version,
    timeoutMs,
    authorizedMs: webhook.cacheAuthorizedRequests === false ? 0 : authorizedMs,
    unauthorizedMs: webhook.cacheUnauthorizedRequests === false ? 0 : unauthorizedMs,
    onFailure: failurePolicy === 'Deny' ? 'deny' : 'noOpinion',
    conditions: compileConditions(conditions, compiler, at.at('matchConditions')),
  };
}

function checkConnection(
  { type = '', kubeConfigFile = '' }: { type?: string; kubeConfigFile?: string },
  at: Report,
): string {
  const file = at.at('kubeConfigFile');
  if (type === '') at.at('type').required();
  // This server is the one that a webhook in the cluster would ask.
  else if (type !== 'KubeConfigFile') at.at('type').notSupported(type, ['KubeConfigFile']);
  else if (kubeConfigFile === '') file.required();
  else if (!isAbsolute(kubeConfigFile)) file.invalid(kubeConfigFile, 'must be an absolute path');
  else if (!existsSync(kubeConfigFile))
    file.invalid(kubeConfigFile, `error loading file: stat ${kubeConfigFile}: no such file or directory`);
  else if (!statSync(kubeConfigFile).isFile()) file.invalid(kubeConfigFile, 'must be a regular file');
  return kubeConfigFile;
}

function compileConditions(
  conditions: readonly { readonly expression?: string }[],
  compiler: Expressions | undefined,
  at: Report,
): Expression[] {
  if (conditions.length > conditionsMax) {
    at.tooMany(conditions.length, conditionsMax);
    return [];
  }
  const seen = new Set<string>();
  return conditions.flatMap(({ expression = '' }, position) => {
    const path = at.index(position).at('expression');
    if (expression.trim() === '') path.required();
    else if (seen.has(expression)) path.duplicate(expression);
    else {
      seen.add(expression);
      const compiled = compiler?.request(expression, 'bool');
      if (compiled && 'problem' in compiled) path.invalid(expression, compiled.problem);
      else if (compiled) return [compiled];
    }
    return [];
  });
}

function durationOf(text: string | undefined, otherwiseMs: number, at: Report): number {
  if (text === undefined || text === '') return otherwiseMs;
  try {
    return parseGoDuration(text);
  } catch (error) {
    at.invalid(text, (error as Error).message);
    return otherwiseMs;
  }
}
