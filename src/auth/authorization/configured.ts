import { readFileSync } from 'node:fs';
import type { Clock } from '#base/clock.ts';
import { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import type { Expressions } from '../expressions.ts';
import { alwaysAllow, alwaysDeny, mastersAuthorizer } from './always-allow.ts';
import type { AuthorizerConfiguration, AuthorizerType } from './authorization-configuration.ts';
import { union, type Authorizer } from './authorizer.ts';

/** Upstream's flags of kube-apiserver that say who may do what. */
export interface AuthorizationArguments {
  readonly 'authorization-config'?: string;
  readonly 'authorization-mode'?: readonly AuthorizerType[];
  readonly 'authorization-policy-file'?: string;
  readonly 'authorization-webhook-cache-authorized-ttl'?: number;
  readonly 'authorization-webhook-cache-unauthorized-ttl'?: number;
  readonly 'authorization-webhook-config-file'?: string;
  readonly 'authorization-webhook-version'?: 'v1' | 'v1beta1';
}

export interface AuthorizationOptions {
  readonly node: Authorizer;
  readonly rbac: Authorizer;
  readonly expressions: () => Promise<Expressions>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Upstream's deadline for a webhook that comes from the flags. */
const flagWebhookTimeoutMs = 30_000;
/** Longer than a webhook may take, with all its repetitions. */
const retiredMs = 5 * 60_000;

/**
 * The authorizers as the flags want them, in their order; `system:masters` may do everything in any case. A configuration
 * file may change while we run.
 */
export async function authorizationFrom(
  flags: AuthorizationArguments,
  options: AuthorizationOptions,
): Promise<Authorizer & AsyncDisposable> {
  const file = flags['authorization-config'];
  const others = Object.keys(flags).filter(
    name =>
      name !== 'authorization-config' && name !== 'authorization-policy-file' && name.startsWith('authorization-'),
  );
  if (file !== undefined && others.length > 0)
    throw new Error(`--${others[0]} can not be specified when --authorization-config is defined`);
  const lifetime = new Lifetime();
  try {
    let current: Authorizer;
    if (file === undefined) current = await assembled(configurationOf(flags), flags, options, lifetime);
    else {
      const { readAuthorizationConfiguration } = await import('./authorization-configuration.ts');
      const { followFile } = await import('../configuration-file.ts');
      let used = lifetime.own(new Lifetime());
      // Questions that are under way get their answers from the webhooks of before.
      const retire = (before: Lifetime) => {
        lifetime.own(before);
        lifetime.defer(options.clock.after(retiredMs, () => void before[Symbol.asyncDispose]()));
      };
      const use = async (text: string) => {
        const configuration = await readAuthorizationConfiguration(text, options.expressions);
        const next = new Lifetime();
        current = await assembled(configuration, flags, options, next);
        retire(used);
        used = next;
      };
      const text = readFileSync(file, 'utf8');
      await use(text);
      lifetime.defer(() => used[Symbol.asyncDispose]());
      const following = followFile(file, text, use, options);
      lifetime.defer(() => following[Symbol.dispose]());
    }
    return {
      get name() {
        return current.name;
      },
      authorize: attributes => current.authorize(attributes),
      rulesFor: (user, namespace) =>
        current.rulesFor?.(user, namespace) ?? { resourceRules: [], nonResourceRules: [], incomplete: true },
      [Symbol.asyncDispose]: () => lifetime[Symbol.asyncDispose](),
    };
  } catch (error) {
    await lifetime[Symbol.asyncDispose]();
    throw error;
  }
}

function configurationOf(flags: AuthorizationArguments): readonly AuthorizerConfiguration[] {
  const modes = flags['authorization-mode'] ?? (['Node', 'RBAC'] as const);
  const twice = modes.find((mode, position) => modes.indexOf(mode) !== position);
  if (twice !== undefined)
    throw new Error(`authorization-mode ${JSON.stringify(modes)} has mode specified more than once`);
  const webhookFile = flags['authorization-webhook-config-file'];
  if (modes.includes('Webhook') !== (webhookFile !== undefined))
    throw new Error(
      webhookFile === undefined
        ? "authorization-mode Webhook's authorization config file not passed"
        : 'cannot specify --authorization-webhook-config-file without mode Webhook',
    );
  if (modes.includes('ABAC') !== (flags['authorization-policy-file'] !== undefined))
    throw new Error(
      flags['authorization-policy-file'] === undefined
        ? "authorization-mode ABAC's authorization policy file not passed"
        : 'cannot specify --authorization-policy-file without mode ABAC',
    );
  return modes.map(type =>
    type === 'Webhook'
      ? {
          type,
          name: 'default',
          webhook: {
            kubeConfigFile: webhookFile ?? '',
            // Upstream's default is still the older one.
            version: flags['authorization-webhook-version'] ?? 'v1beta1',
            timeoutMs: flagWebhookTimeoutMs,
            authorizedMs: flags['authorization-webhook-cache-authorized-ttl'] ?? 5 * 60_000,
            unauthorizedMs: flags['authorization-webhook-cache-unauthorized-ttl'] ?? 30_000,
            onFailure: 'noOpinion',
            conditions: [],
          },
        }
      : { type, name: type.toLowerCase() },
  );
}

async function assembled(
  configuration: readonly AuthorizerConfiguration[],
  flags: AuthorizationArguments,
  options: AuthorizationOptions,
  lifetime: Lifetime,
): Promise<Authorizer> {
  const authorizers: Authorizer[] = [];
  for (const each of configuration) authorizers.push(await authorizerOf(each, flags, options, lifetime));
  return union([mastersAuthorizer, ...authorizers]);
}

async function authorizerOf(
  configuration: AuthorizerConfiguration,
  flags: AuthorizationArguments,
  { node, rbac, clock }: AuthorizationOptions,
  lifetime: Lifetime,
): Promise<Authorizer> {
  switch (configuration.type) {
    case 'Node':
      return node;
    case 'RBAC':
      return rbac;
    case 'AlwaysAllow':
      return alwaysAllow;
    case 'AlwaysDeny':
      return alwaysDeny;
    case 'ABAC': {
      const file = flags['authorization-policy-file'];
      if (file === undefined) throw new Error("authorization-mode ABAC's authorization policy file not passed");
      const { abacAuthorizer } = await import('./abac.ts');
      return abacAuthorizer(readFileSync(file, 'utf8'));
    }
    case 'Webhook': {
      const { kubeConfigFile, timeoutMs, ...how } = configuration.webhook;
      const [{ endpointFromKubeconfig, outgoingTo }, { webhookAuthorizer }] = await Promise.all([
        import('../outgoing.ts'),
        import('./webhook.ts'),
      ]);
      const { signal } = lifetime;
      const outgoing = outgoingTo(await endpointFromKubeconfig(kubeConfigFile), { clock, timeoutMs, signal });
      lifetime.defer(() => outgoing[Symbol.dispose]());
      return webhookAuthorizer({ name: configuration.name, outgoing, clock, signal, ...how });
    }
  }
}
