import { isDNS1035Label, isDNS1123Subdomain, isPortNumber } from '../../machinery/names.ts';
import type { Report } from '../../machinery/validation.ts';

interface ServiceReference {
  readonly name: string;
  readonly namespace: string;
  readonly path?: string | undefined;
  readonly port?: number | undefined;
}

interface ClientConfig {
  readonly url?: string | undefined;
  readonly service?: ServiceReference | undefined;
}

/** Where a webhook is called: a URL or a service, never both. */
export function validateWebhookClient({ url, service }: ClientConfig, report: Report): void {
  if ((url === undefined) === (service === undefined)) report.required('exactly one of url or service is required');
  else if (url !== undefined) validateWebhookUrl(url, report.at('url'));
  else if (service !== undefined) validateWebhookService(service, report.at('service'));
}

const urlForm = '; desired format: https://host[/path]';

function validateWebhookUrl(text: string, report: Report): void {
  const url = parseUrl(text);
  if (url === undefined) {
    report.required(`url must be a valid URL: parse ${JSON.stringify(text)}: invalid URL${urlForm}`);
    return;
  }
  if (url.scheme !== 'https') report.invalid(url.scheme, `'https' is the only allowed URL scheme${urlForm}`);
  if (url.host === '') report.invalid(url.host, `host must be specified${urlForm}`);
  if (url.user !== undefined) report.invalid(url.user, 'user information is not permitted in the URL');
  if (url.fragment !== '') report.invalid(url.fragment, 'fragments are not permitted in the URL');
  if (url.query !== '') report.invalid(url.query, 'query parameters are not permitted in the URL');
}

interface UrlParts {
  readonly scheme: string;
  readonly user?: string | undefined;
  readonly host: string;
  readonly query: string;
  readonly fragment: string;
}

/** The parts as Go's net/url names them; the URL class of the platform refuses relative ones. */
function parseUrl(text: string): UrlParts | undefined {
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u001F\u007F]/.test(text) || text.startsWith(':')) return undefined;
  const match = /^(?:([A-Za-z][\w+.-]*):)?(?:\/\/(?:([^/?#]*)@)?([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s.exec(
    text,
  );
  if (match === null) return undefined;
  const [, scheme = '', user, host = '', , query = '', fragment = ''] = match;
  return { scheme: scheme.toLowerCase(), user, host, query, fragment };
}

function validateWebhookService({ name, namespace, path, port = 443 }: ServiceReference, report: Report): void {
  // Upstream takes the two for each other here, and clients know it so.
  if (namespace === '') report.at('name').required();
  if (name === '') report.at('namespace').required();
  const messages = isPortNumber(port);
  if (messages.length > 0) report.at('port').invalid(port, `port is not valid: ${messages.join(',')}`);
  if (path !== undefined) validatePath(path, report.at('path'));
}

function validatePath(path: string, report: Report): void {
  if (path === '' || path === '/') return;
  if (path === '//') {
    report.invalid(path, 'segment[0] may not be empty');
    return;
  }
  if (!path.startsWith('/')) report.invalid(path, "must start with a '/'");
  const segments = path.slice(1).replace(/\/$/, '').split('/');
  for (const [position, segment] of segments.entries()) {
    if (segment === '') report.invalid(path, `segment[${position}] may not be empty`);
    else for (const message of isDNS1123Subdomain(segment)) report.invalid(path, `segment[${position}]: ${message}`);
  }
}

/** The versions of the review a webhook understands; one must be a version we can send. */
export function validateReviewVersions(versions: readonly string[], report: Report, requiredDetail = ''): void {
  if (versions.length === 0) {
    report.required(requiredDetail);
    return;
  }
  const seen = new Set<string>();
  for (const [position, version] of versions.entries()) {
    if (seen.has(version)) {
      report.index(position).invalid(version, 'duplicate version');
      continue;
    }
    seen.add(version);
    for (const message of isDNS1035Label(version)) report.index(position).invalid(version, message);
  }
  if (!seen.has('v1') && !seen.has('v1beta1')) report.invalid(versions, 'must include at least one of v1, v1beta1');
}
