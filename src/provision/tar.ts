import { HamletError } from '../lib/errors.js';

/** Everything in a tar comes in blocks of this size (POSIX.1-2017, pax, "ustar Interchange Format"). */
const blockBytes = 512;
const maxNameBytes = 100;

export type TarEntry =
  | { readonly type: 'file'; readonly name: string; readonly mode: number; readonly data: Uint8Array }
  | { readonly type: 'directory'; readonly name: string; readonly mode: number }
  | { readonly type: 'symlink'; readonly name: string; readonly target: string };

/**
 * A tar archive of these entries in this order, owned by root and dated 1970, so that the same entries always give
 * the same bytes. Throws INVALID_ARGUMENT for a name or link target of more than 100 bytes.
 */
export function tarArchive(entries: readonly TarEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    const data = entry.type === 'file' ? entry.data : new Uint8Array();
    parts.push(header(entry, data.length), Buffer.from(data));
    parts.push(Buffer.alloc((blockBytes - (data.length % blockBytes)) % blockBytes));
  }
  // Two empty blocks end the archive.
  parts.push(Buffer.alloc(2 * blockBytes));
  return Buffer.concat(parts);
}

function header(entry: TarEntry, bytes: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  const text = (value: string, offset: number) => block.write(value, offset, 'utf8');
  const octal = (value: number, offset: number, length: number) =>
    text(value.toString(8).padStart(length - 1, '0'), offset);

  text(shortName(entry.type === 'directory' ? `${entry.name}/` : entry.name), 0);
  octal(entry.type === 'symlink' ? 0o777 : entry.mode, 100, 8);
  octal(0, 108, 8); // owner
  octal(0, 116, 8); // group
  octal(bytes, 124, 12);
  octal(0, 136, 12); // time of the last change
  text('        ', 148); // the checksum counts as spaces
  text({ file: '0', symlink: '2', directory: '5' }[entry.type], 156);
  if (entry.type === 'symlink') text(shortName(entry.target), 157);
  text('ustar\0' + '00', 257);
  const checksum = block.reduce((sum, byte) => sum + byte, 0);
  text(`${checksum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function shortName(name: string): string {
  if (Buffer.byteLength(name) <= maxNameBytes) return name;
  throw new HamletError(
    'INVALID_ARGUMENT',
    `a name in the archive is longer than ${maxNameBytes} bytes: ${name}`,
  );
}
