import type { IncomingMessage } from 'node:http';
import { PassThrough, pipeline, Transform, type Readable } from 'node:stream';
import { createDeflateRaw, createGunzip, createGzip, createInflateRaw } from 'node:zlib';

/** Which attributes of which elements are links. Those in style sheets are left as they are, as upstream leaves them. */
const linkAttributes: Readonly<Record<string, readonly string[] | undefined>> = {
  __proto__: null as never,
  a: ['href'],
  applet: ['codebase'],
  area: ['href'],
  audio: ['src'],
  base: ['href'],
  blockquote: ['cite'],
  body: ['background'],
  button: ['formaction'],
  command: ['icon'],
  del: ['cite'],
  embed: ['src'],
  form: ['action'],
  frame: ['longdesc', 'src'],
  head: ['profile'],
  html: ['manifest'],
  iframe: ['longdesc', 'src'],
  img: ['longdesc', 'src', 'usemap'],
  input: ['src', 'usemap', 'formaction'],
  ins: ['cite'],
  link: ['href'],
  object: ['classid', 'codebase', 'data', 'usemap'],
  q: ['cite'],
  script: ['src'],
  source: ['src'],
  video: ['poster', 'src'],
};

const codings = {
  '': () => ({ open: new PassThrough(), close: new PassThrough() }),
  gzip: () => ({ open: createGunzip(), close: createGzip() }),
  deflate: () => ({ open: createInflateRaw(), close: createDeflateRaw() }),
} as const;

/** One tag or comment may be this long: a picture in an attribute is, an endless attribute would fill the memory. */
const tokenBytesMax = 16 * 1024 * 1024;

/** True for a page whose links can be rewritten: HTML in a coding that can be read. */
export function hasLinks({ headers }: IncomingMessage): boolean {
  const coding = headers['content-encoding'] ?? '';
  const [mediaType = ''] = (headers['content-type'] ?? '').split(';');
  return mediaType.trim() === 'text/html' && Object.hasOwn(codings, coding);
}

/** The page with other links, in the coding that it came in. */
export async function withLinks(page: IncomingMessage, rewrite: (link: string) => string): Promise<Readable> {
  const { RewritingStream } = await import('parse5-html-rewriting-stream');
  const rewriter = new RewritingStream();
  rewriter.on('startTag', (tag, raw) => {
    const names = linkAttributes[tag.tagName];
    let isChanged = false;
    for (const attribute of tag.attrs) {
      if (!names?.includes(attribute.name)) continue;
      const link = rewrite(attribute.value);
      if (link === attribute.value) continue;
      attribute.value = link;
      isChanged = true;
    }
    if (isChanged) rewriter.emitStartTag(tag);
    else rewriter.emitRaw(raw);
  });
  const { open, close } = codings[(page.headers['content-encoding'] ?? '') as keyof typeof codings]();
  // Whoever reads the last of the streams is told when one of them breaks.
  const broken = () => {};
  let heldBytes = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      heldBytes += chunk.length;
      done(
        heldBytes > tokenBytesMax ? new Error('cannot rewrite links: the page has a tag without an end') : null,
        chunk,
      );
    },
  });
  const released = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      heldBytes = 0;
      done(null, chunk);
    },
  });
  return pipeline(pipeline(page, open, counted, broken).setEncoding('utf8'), rewriter, released, close, broken);
}
