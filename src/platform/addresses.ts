/** An IPv4 range; addresses as numbers. */
interface Range {
  readonly first: number;
  readonly size: number;
}

/** The first address of an IPv4 range after the network's own: "10.96.0.0/16" gives "10.96.0.1". */
export function firstAddress(cidr: string): string {
  return addressAt(cidr, 1);
}

/** The address that is so many after the network's own: "10.96.0.0/16" and 10 give "10.96.0.10". */
export function addressAt(cidr: string, index: number): string {
  return format(parseRange(cidr).first + index);
}

/** Whether text such as "10.96.0.0/16" names a range by its own address, not by one within it. */
export function isRange(cidr: string): boolean {
  const match = /^(\d{1,3}(?:\.\d{1,3}){3})\/(\d{1,2})$/.exec(cidr);
  const [, address = '', prefix = ''] = match ?? [];
  if (match === null || Number(prefix) > 32) return false;
  if (address.split('.').some((part) => Number(part) > 255 || String(Number(part)) !== part)) return false;
  return format(parseRange(cidr).first) === address;
}

/** Whether two IPv4 ranges have an address in common. */
export function overlap(one: string, other: string): boolean {
  const [a, b] = [parseRange(one), parseRange(other)];
  return a.first < b.first + b.size && b.first < a.first + a.size;
}

/** Whether an IPv4 address lies in a range. */
export function contains(cidr: string, address: string): boolean {
  return overlap(cidr, `${address}/32`);
}

function parseRange(cidr: string): Range {
  const [address = '', prefix = '32'] = cidr.split('/');
  const number = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - Number(prefix));
  return { first: Math.floor(number / size) * size, size };
}

function format(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}
