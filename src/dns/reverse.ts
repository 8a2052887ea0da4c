import { formatIp, parseIp } from '#base/ip.ts';

/** The address that a name of in-addr.arpa or ip6.arpa stands for. */
export function addressFromReverse(name: string): string | undefined {
  const four = /^((?:\d{1,3}\.){4})in-addr\.arpa$/.exec(name)?.[1];
  if (four !== undefined) return canonical(four.slice(0, -1).split('.').toReversed().join('.'));
  const six = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1];
  if (six === undefined) return undefined;
  const digits = six.split('.').toReversed().join('');
  return canonical(digits.match(/.{4}/g)?.join(':') ?? '');
}

function canonical(text: string): string | undefined {
  const address = parseIp(text);
  return address && formatIp(address);
}
