import { RE2JS } from '@bufbuild/re2';

/** A user's regular expression, in Go's syntax and in linear time; one that cannot be read matches nothing. */
export function matcherOf(pattern: string): (text: string) => boolean {
  let compiled: RE2JS | undefined;
  let broken = false;
  return text => {
    if (broken) return false;
    try {
      compiled ??= new RE2JS(pattern);
    } catch {
      broken = true;
      return false;
    }
    return compiled.test(text);
  };
}
