/** The first address of an IPv4 range after the network's own: "10.96.0.0/16" gives "10.96.0.1". */
export function firstAddress(cidr: string): string {
  const [address = '', prefix = '32'] = cidr.split('/');
  const number = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - Number(prefix));
  const first = Math.floor(number / size) * size + 1;
  return [24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join('.');
}
