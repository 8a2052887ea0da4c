import { timingSafeEqual } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import type { Secret } from '#api/core/v1/secret.ts';
import type { TokenAuthenticator } from './bearer.ts';

const tokenForm = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const groupForm = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;

/** Tokens for joining machines: Secrets `bootstrap-token-<id>` in kube-system. A wrong or spent one is nobody's. */
export function bootstrapTokenAuthenticator(
  secretNamed: (name: string) => Promise<Secret | undefined> | Secret | undefined,
  clock: Clock,
): TokenAuthenticator {
  return {
    async authenticate(token, audiences) {
      const parts = tokenForm.exec(token);
      if (!parts) return undefined;
      const [, id = '', password = ''] = parts;
      const secret = await secretNamed(`bootstrap-token-${id}`);
      if (secret?.type !== 'bootstrap.kubernetes.io/token' || secret.metadata.deletionTimestamp) return undefined;
      const value = (key: string) => Buffer.from(secret.data?.[key] ?? '', 'base64').toString();
      if (value('token-id') !== id || !sameText(value('token-secret'), password)) return undefined;
      const expiration = value('expiration');
      if (expiration !== '' && !(Date.parse(expiration) > clock.now())) return undefined;
      if (value('usage-bootstrap-authentication') !== 'true') return undefined;
      const extraGroups = value('auth-extra-groups')
        .split(',')
        .filter(each => each !== '');
      if (!extraGroups.every(each => groupForm.test(each))) return undefined;
      return {
        user: { name: `system:bootstrap:${id}`, groups: ['system:bootstrappers', ...extraGroups] },
        audiences,
      };
    },
  };
}

function sameText(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}
