import type { AuthorizerType } from '#auth/authorization/authorization-configuration.ts';
import { boolean, choice, duration, file, list, text, type ComponentFlag } from './component.ts';

/** The flags of kube-apiserver about who somebody is and what they may do; wired in `#auth/…/configured.ts`. */
export const authenticationFlags = {
  'anonymous-auth': boolean('whether requests without credentials are let in as system:anonymous (default true)'),
  'api-audiences': list('what tokens must be for (default: the issuers of service-account tokens)'),
  'authentication-config': file('an AuthenticationConfiguration: issuers of tokens, and who may be anonymous'),
  'authentication-token-webhook-cache-ttl': duration(
    "how long the token webhook's answers are remembered (default 2m)",
  ),
  'authentication-token-webhook-config-file': file('a kubeconfig that says where the token webhook is'),
  'authentication-token-webhook-version': choice('the version of TokenReview for it (default v1beta1)', [
    'v1beta1',
    'v1',
  ]),
  'client-ca-file': file('authorities of client certificates beside that of the cluster'),
  'enable-bootstrap-token-auth': boolean('whether bootstrap tokens are known (default true)'),
  'oidc-ca-file': file('the authority of the OpenID provider'),
  'oidc-client-id': text('the audience of its tokens'),
  'oidc-groups-claim': text('the claim that holds groups'),
  'oidc-groups-prefix': text('what stands before each group'),
  'oidc-issuer-url': text('the OpenID provider', 'URL'),
  'oidc-required-claim': list('claims that a token must have', 'NAME=VALUE'),
  'oidc-signing-algs': list('what tokens may be signed with (default RS256)'),
  'oidc-username-claim': text('the claim that names the user (default sub)'),
  'oidc-username-prefix': text('what stands before the name; - for nothing'),
  'requestheader-allowed-names': list('who front proxies may be, by common name (default front-proxy-client)'),
  'requestheader-client-ca-file': file("the authority of front proxies (default: the cluster's own)"),
  'requestheader-extra-headers-prefix': list('headers for what else is known of a user (default X-Remote-Extra-)'),
  'requestheader-group-headers': list('headers for groups (default X-Remote-Group)'),
  'requestheader-uid-headers': list('headers for the uid (default X-Remote-Uid)'),
  'requestheader-username-headers': list('headers for the name (default X-Remote-User)'),
  'service-account-extend-token-expiration': boolean(
    'whether tokens of pods stay valid for a year and only warn after their hour (default true)',
  ),
  'service-account-issuer': each(text('who issues service-account tokens; the first one signs', 'URL')),
  'service-account-jwks-uri': text('where their keys are, for the discovery document', 'URL'),
  'service-account-key-file': each(file('keys that verify service-account tokens')),
  'service-account-max-token-expiration': duration('the longest life of a service-account token'),
  'service-account-signing-key-file': file("the key that signs them (default: the cluster's own)"),
  'token-auth-file': file('a file of tokens: token,user,uid[,"group1,group2"]'),
};

export const authorizationFlags = {
  'authorization-config': file('an AuthorizationConfiguration: authorizers in their order, several webhooks'),
  'authorization-mode': modes('who is asked in turn (default Node,RBAC)'),
  'authorization-policy-file': file('the policies of ABAC, one JSON object a line'),
  'authorization-webhook-cache-authorized-ttl': duration('how long a yes is remembered (default 5m)'),
  'authorization-webhook-cache-unauthorized-ttl': duration('how long a no is remembered (default 30s)'),
  'authorization-webhook-config-file': file('a kubeconfig that says where the authorization webhook is'),
  'authorization-webhook-version': choice('the version of SubjectAccessReview for it (default v1beta1)', [
    'v1beta1',
    'v1',
  ]),
};

function modes(does: string): ComponentFlag<readonly AuthorizerType[]> {
  // Here again, so that the command line loads no more than it needs.
  const one = choice<AuthorizerType>(does, ['ABAC', 'AlwaysAllow', 'AlwaysDeny', 'Node', 'RBAC', 'Webhook']);
  return {
    does,
    value: 'LIST',
    parse: given => given.split(',').map(each => one.parse(each.trim())),
    merge: (before, next) => [...before, ...next],
  };
}

/** Given several times, every value counts. */
function each(flag: ComponentFlag<string>): ComponentFlag<readonly string[]> {
  return { ...flag, parse: given => [flag.parse(given)], merge: (before, next) => [...before, ...next] };
}
