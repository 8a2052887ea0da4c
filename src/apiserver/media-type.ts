import { errors } from '#api/machinery/errors.ts';

export type Format = 'json' | 'yaml' | 'protobuf';

/** In which form an answer goes out. */
export interface Media {
  readonly format: Format;
  /** A form other than the object itself. */
  readonly as?: 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList';
  /** The version of meta.k8s.io of that form. */
  readonly asVersion: 'v1' | 'v1beta1';
  readonly pretty: boolean;
}

/** What an endpoint can answer with. */
export interface Offer {
  readonly protobuf: boolean;
  /** Can become a Table, PartialObjectMetadata. */
  readonly transforms: boolean;
  /** A stream of frames: no YAML. */
  readonly stream: boolean;
}

export const contentTypes: Readonly<Record<Format, string>> = {
  json: 'application/json',
  yaml: 'application/yaml',
  protobuf: 'application/vnd.kubernetes.protobuf',
};

const plainJson: Media = { format: 'json', asVersion: 'v1', pretty: false };

/** Picks the first acceptable form in the order of the client's preference. Throws ApiError NotAcceptable. */
export function negotiate(accept: string, offer: Offer): Media {
  if (accept === '' || accept === '*/*' || accept === 'application/json') return plainJson;
  for (const clause of parsedAccept(accept)) {
    const media = matching(clause, offer);
    if (media) return media;
  }
  const accepted = offer.stream
    ? ['application/json', 'application/vnd.kubernetes.protobuf;stream=watch']
    : ['application/json', 'application/yaml', ...(offer.protobuf ? ['application/vnd.kubernetes.protobuf'] : [])];
  throw errors.notAcceptable(`only the following media types are accepted: ${accepted.join(', ')}`);
}

/** The format of a request's body. Throws ApiError UnsupportedMediaType. */
export function bodyFormat(contentType: string, protobuf: boolean): Format {
  const type = essence(contentType);
  if (type === '' || type === 'application/json') return 'json';
  if (type === 'application/yaml') return 'yaml';
  if (type === contentTypes.protobuf && protobuf) return 'protobuf';
  throw errors.unsupportedMediaType(
    `the body of the request was in an unknown format - accepted media types include: ${[
      'application/json',
      'application/yaml',
      ...(protobuf ? ['application/vnd.kubernetes.protobuf'] : []),
    ].join(', ')}`,
  );
}

/** The type without parameters, in lower case. */
export function essence(contentType: string): string {
  const semicolon = contentType.indexOf(';');
  return (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase();
}

interface Clause {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly quality: number;
}

const transformNames = ['Table', 'PartialObjectMetadata', 'PartialObjectMetadataList'] as const;

function matching({ type, parameters }: Clause, offer: Offer): Media | undefined {
  const format = formatOf(type);
  if (!format || (format === 'protobuf' && !offer.protobuf) || (format === 'yaml' && offer.stream)) return undefined;
  const pretty = parameters.get('pretty') === '1' || parameters.get('pretty') === 'true';
  const name = parameters.get('as') ?? '';
  if (name === '') return { format, asVersion: 'v1', pretty };
  const as = transformNames.find(each => each === name);
  const version = parameters.get('v');
  const known = as && parameters.get('g') === 'meta.k8s.io' && (version === 'v1' || version === 'v1beta1');
  if (!known || !offer.transforms || (as === 'Table' && format === 'protobuf')) return undefined;
  return { format, as, asVersion: version, pretty };
}

function formatOf(type: string): Format | undefined {
  switch (type) {
    case 'application/json':
    case 'application/*':
    case '*/*':
      return 'json';
    case 'application/yaml':
      return 'yaml';
    case 'application/vnd.kubernetes.protobuf':
      return 'protobuf';
    default:
      return undefined;
  }
}

/** Clients send the same few headers again and again. */
const known = new Map<string, readonly Clause[]>();
const knownMax = 256;

function parsedAccept(accept: string): readonly Clause[] {
  const found = known.get(accept);
  if (found) return found;
  const clauses = accept
    .split(',')
    .map(parseClause)
    .filter(clause => clause.type !== '' && clause.quality > 0)
    .sort((a, b) => b.quality - a.quality);
  if (known.size >= knownMax) known.clear();
  known.set(accept, clauses);
  return clauses;
}

function parseClause(text: string): Clause {
  const [type = '', ...rest] = text.split(';').map(part => part.trim());
  const parameters = new Map(
    rest.map(part => {
      const at = part.indexOf('=');
      const value = at < 0 ? '' : part.slice(at + 1).trim();
      return [(at < 0 ? part : part.slice(0, at)).trim().toLowerCase(), value.replace(/^"(.*)"$/, '$1')] as const;
    }),
  );
  const quality = Number(parameters.get('q') ?? 1);
  return { type: type.toLowerCase(), parameters, quality: Number.isFinite(quality) ? quality : 1 };
}
