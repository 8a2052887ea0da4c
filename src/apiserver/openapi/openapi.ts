import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '#base/clock.ts';
import type { Kind } from '#api/machinery/kind.ts';
import { kinds as builtInKinds } from '#api/kinds.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import type { RemoteApi } from '../aggregation/remote-documents.ts';
import type { RawPath, RequestContext } from '../subresource.ts';
import { openApiDocuments } from './documents.ts';
import { encodeDocument } from './gnostic.ts';
import { swaggerText } from './swagger.ts';

export interface OpenApiOptions {
  /** What is served now. */
  readonly kinds: () => readonly Kind[];
  /** Calls back when kinds come or go. */
  readonly onChange: (listener: () => void) => void;
  readonly clock: Clock;
  /** What other servers answer for; absent: nothing. */
  readonly aggregation?: {
    readonly remotes: readonly RemoteApi[];
    onDocuments(listener: () => void): void;
    /** Has the server of a group version answer. */
    passOnFor(api: RemoteApi, request: ApiRequest, user: RequestContext['user']): Promise<ApiResponse>;
  };
}

interface Document {
  readonly bytes: Uint8Array;
  readonly hash: string;
}

const yearSeconds = 365 * 24 * 60 * 60;
/** So many pieces of a document are made before others have a turn: a few milliseconds. */
const piecesATurn = 12;

/** `/openapi/v2` and `/openapi/v3`, made when somebody asks and kept until the kinds change. */
export function openApiPaths({ kinds, onChange, clock, aggregation }: OpenApiOptions): readonly RawPath[] {
  let swagger: Promise<Document> | undefined;
  let gnostic: Promise<Document> | undefined;
  let documents: Promise<ReadonlyMap<string, Document>> | undefined;
  const outdated = () => {
    swagger = undefined;
    gnostic = undefined;
    documents = undefined;
  };
  onChange(outdated);
  aggregation?.onDocuments(outdated);
  const remotes = () => aggregation?.remotes ?? [];
  const remoteNamed = (name: string) => remotes().find(({ group, version }) => name === `apis/${group}/${version}`);
  return [
    {
      path: '/openapi/v2',
      async handle(request) {
        swagger ??= makeSwagger(withSpokenKinds(kinds()), remotes());
        const wantsProtobuf = prefersProtobuf(request);
        if (!wantsProtobuf && !acceptsJson(request)) return notAcceptable;
        if (!wantsProtobuf) return tagged(request, await swagger, { vary: 'Accept' });
        gnostic ??= swagger.then(({ bytes }) =>
          documentOf(encodeDocument(JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>)),
        );
        return tagged(request, await gnostic, { vary: 'Accept', 'content-type': protobufTypes[0] });
      },
    },
    {
      path: '/openapi/v3',
      prefix: true,
      async handle(request, { user }) {
        const name = request.path.slice('/openapi/v3/'.length);
        const remote = remoteNamed(name);
        if (aggregation && remote?.openApi3?.from === 'remote') return aggregation.passOnFor(remote, request, user);
        documents ??= makeDocuments(withSpokenKinds(kinds()));
        const made = await documents;
        // The index is one text, whatever is accepted.
        if (request.path === '/openapi/v3')
          return {
            code: 200,
            headers: { 'content-type': 'text/plain; charset=utf-8' },
            kind: 'bytes',
            bytes: [indexOf(made, remotes()).bytes],
          };
        if (!acceptsJson(request)) return notAcceptable;
        const document = remote?.openApi3 ?? made.get(name);
        return document && 'bytes' in document ? one(request, name, document, clock) : notFound;
      },
    },
  ];
}

/** Subresources speak kinds that are no resources of their own: Scale, Eviction, TokenRequest. */
function withSpokenKinds(served: readonly Kind[]): readonly Kind[] {
  return [...served, ...builtInKinds.filter(kind => kind.plural === '' && !served.includes(kind))];
}

async function makeSwagger(kinds: readonly Kind[], remotes: readonly RemoteApi[]): Promise<Document> {
  const chunks: Buffer[] = [];
  let pieces: string[] = [];
  const parts = remotes.flatMap(({ swagger }) => swagger ?? []);
  for (const piece of swaggerText(kinds, parts)) {
    pieces.push(piece);
    if (pieces.length < piecesATurn) continue;
    chunks.push(Buffer.from(pieces.join('')));
    pieces = [];
    await nextTurn();
  }
  chunks.push(Buffer.from(pieces.join('')));
  return documentOf(Buffer.concat(chunks));
}

async function makeDocuments(kinds: readonly Kind[]): Promise<ReadonlyMap<string, Document>> {
  const made = new Map<string, Document>();
  const { names, render } = openApiDocuments(kinds);
  for (const name of names.toSorted()) {
    made.set(name, documentOf(Buffer.from(JSON.stringify(render(name)))));
    await nextTurn();
  }
  return made;
}

function documentOf(bytes: Buffer): Document {
  return { bytes, hash: createHash('sha512').update(bytes).digest('hex').toUpperCase() };
}

function indexOf(documents: ReadonlyMap<string, Document>, remotes: readonly RemoteApi[]): Document {
  const urls = new Map([...documents].map(([name, document]) => [name, urlOf(name, document)]));
  for (const { group, version, openApi3 } of remotes) {
    const name = `apis/${group}/${version}`;
    if (openApi3) urls.set(name, openApi3.from === 'remote' ? openApi3.serverRelativeURL : urlOf(name, openApi3));
  }
  const paths = Object.fromEntries([...urls].map(([name, serverRelativeURL]) => [name, { serverRelativeURL }]));
  return documentOf(Buffer.from(JSON.stringify({ paths })));
}

function urlOf(name: string, { hash }: Document): string {
  return `/openapi/v3/${name}?hash=${hash}`;
}

/** A document asked for by its hash may be kept for ever; one asked for by an old hash has moved. */
function one(request: ApiRequest, name: string, document: Document, clock: Clock): ApiResponse {
  const asked = request.query.get('hash');
  if (asked === null || asked === '') return tagged(request, document, { vary: 'Accept' });
  if (asked !== document.hash)
    return {
      code: 301,
      headers: {
        'content-type': 'application/json',
        vary: 'Accept',
        etag: `"${document.hash}"`,
        location: urlOf(name, document),
      },
      kind: 'bytes',
      bytes: [],
    };
  return tagged(request, document, {
    vary: 'Accept',
    'cache-control': 'public, immutable',
    expires: new Date(clock.now() + yearSeconds * 1000).toUTCString(),
  });
}

function tagged(request: ApiRequest, { bytes, hash }: Document, more: Readonly<Record<string, string>>): ApiResponse {
  const headers = { 'content-type': 'application/json', etag: `"${hash}"`, ...more };
  if (request.headers['if-none-match'] === headers.etag) return { code: 304, headers, kind: 'bytes', bytes: [] };
  return { code: 200, headers, kind: 'bytes', bytes: [bytes] };
}

/** Whether the protobuf form of OpenAPI v2 is what a client wants first. */
function prefersProtobuf(request: ApiRequest): boolean {
  const [first = ''] = [request.headers['accept'] ?? ''].flat().join(',').split(',');
  return (protobufTypes as readonly string[]).includes(first.split(';')[0]?.trim() ?? '');
}

/** Its name, and an old one that clients still ask by but could not read in an answer. */
const protobufTypes = [
  'application/com.github.proto-openapi.spec.v2.v1.0+protobuf',
  'application/com.github.proto-openapi.spec.v2@v1.0+protobuf',
] as const;

/** The protobuf form of v3 is not made; a client that knows only it is told so, and the ones we know also know JSON. */
function acceptsJson(request: ApiRequest): boolean {
  const accept = [request.headers['accept'] ?? ''].flat().join(',');
  if (accept.trim() === '') return true;
  return accept.split(',').some(each => {
    const type = each.split(';')[0]?.trim().toLowerCase();
    return type === 'application/json' || type === 'application/*' || type === '*/*';
  });
}

const notAcceptable: ApiResponse = { code: 406, headers: {}, kind: 'bytes', bytes: [] };
const notFound: ApiResponse = { code: 404, headers: {}, kind: 'bytes', bytes: [] };
