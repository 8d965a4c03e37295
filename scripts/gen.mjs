#!/usr/bin/env node
// Writes src/gen/ from proto/: for each .proto file the messages as interfaces, their codecs on src/lib/protobuf.ts,
// and the services in the form that @grpc/grpc-js takes; the standard services below proto/grpc/ are small enough to be
// read and written by hand. descriptors.ts has all of them as the reflection service gives them to clients.
// With --check it only says whether src/gen/ is up to date.
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor/index.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const protoDir = path.join(root, 'proto');
const genDir = path.join(root, 'src', 'gen');

/** What each scalar is in TypeScript, its default, its wire type, and the methods that write and read it. */
const scalars = {
  string: { ts: 'string', empty: "''", wire: 2, write: 'string', read: 'string' },
  bytes: { ts: 'Uint8Array', empty: 'new Uint8Array()', wire: 2, write: 'bytes', read: 'bytes' },
  bool: { ts: 'boolean', empty: 'false', wire: 0, write: 'bool', read: 'bool' },
  int32: { ts: 'number', empty: '0', wire: 0, write: 'int64', read: 'int32' },
  int64: { ts: 'number', empty: '0', wire: 0, write: 'int64', read: 'int64' },
  uint32: { ts: 'number', empty: '0', wire: 0, write: 'int64', read: 'uint32' },
  uint64: { ts: 'number', empty: '0', wire: 0, write: 'int64', read: 'uint64' },
};

const lowerFirst = (text) => text.charAt(0).toLowerCase() + text.slice(1);

function docstring(comment, where, indent = '') {
  if (!comment) throw new Error(`${where} has no comment`);
  const lines = comment.split('\n');
  if (lines.length === 1) return `${indent}/** ${lines[0]} */\n`;
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}`.trimEnd()).join('\n')}\n${indent} */\n`;
}

/** The plan for one field: everything that the three parts of the output need to know. */
function plan(field, type) {
  const where = `${type.name}.${field.name}`;
  const scalar = scalars[field.type];
  const message = field.resolvedType instanceof protobuf.Type ? field.resolvedType : undefined;
  if (field.map || field.partOf || field.options?.proto3_optional || (!scalar && !message)) {
    throw new Error(`${where}: ${field.type} of this kind is not supported yet`);
  }
  if (field.repeated && scalar?.wire === 0) throw new Error(`${where}: packed numbers are not supported yet`);
  const single = message ? message.name : scalar.ts;
  return {
    name: field.name,
    doc: docstring(field.comment, where, '  '),
    id: field.id,
    tag: field.id * 8 + (message ? 2 : scalar.wire),
    ts: field.repeated ? `readonly ${single}[]` : message ? `${single} | undefined` : single,
    mutable: field.repeated ? `${single}[]` : message ? `${single} | undefined` : single,
    empty: field.repeated ? '[]' : message ? 'undefined' : scalar.empty,
    repeated: field.repeated,
    isSet: (value) =>
      message
        ? `${value} !== undefined`
        : single === 'Uint8Array'
          ? `${value}.length > 0`
          : single === 'boolean'
            ? value
            : `${value} !== ${scalar.empty}`,
    write: (value) =>
      message
        ? `writer.bytes(${field.id}, encode${message.name}(${value}))`
        : `writer.${scalar.write}(${field.id}, ${value})`,
    read: message ? `decode${message.name}(reader.bytes())` : `reader.${scalar.read}()`,
  };
}

function messageCode(type) {
  const fields = type.fieldsArray.map((field) => plan(field, type));
  let out = type.comment ? docstring(type.comment, type.name) : '';
  if (fields.length === 0) return out + emptyMessageCode(type.name);
  out += `export interface ${type.name} {\n`;
  for (const field of fields) out += `${field.doc}  readonly ${field.name}: ${field.ts};\n`;
  out += `}\n\nexport function encode${type.name}(message: ${type.name}): Buffer {\n`;
  out += '  const writer = new ProtoWriter();\n';
  for (const field of fields) {
    const value = `message.${field.name}`;
    out += field.repeated
      ? `  for (const item of ${value}) ${field.write('item')};\n`
      : `  if (${field.isSet(value)}) ${field.write(value)};\n`;
  }
  out += `  return writer.finish();\n}\n\nexport function decode${type.name}(bytes: Uint8Array): ${type.name} {\n`;
  out += `  const message: { ${fields.map((field) => `${field.name}: ${field.mutable}`).join('; ')} } = {\n`;
  for (const field of fields) out += `    ${field.name}: ${field.empty},\n`;
  out +=
    '  };\n  const reader = new ProtoReader(bytes);\n  while (reader.next()) {\n    switch (reader.tag) {\n';
  for (const field of fields) {
    const target = `message.${field.name}`;
    out += `      case ${field.tag}: // field ${field.id}\n`;
    out += `        ${field.repeated ? `${target}.push(${field.read})` : `${target} = ${field.read}`};\n        break;\n`;
  }
  return `${out}      default:\n        reader.skip();\n    }\n  }\n  return message;\n}\n`;
}

function emptyMessageCode(name) {
  return `export type ${name} = Readonly<Record<string, never>>;

export function encode${name}(_message: ${name}): Buffer {
  return new ProtoWriter().finish();
}

export function decode${name}(bytes: Uint8Array): ${name} {
  const reader = new ProtoReader(bytes);
  while (reader.next()) reader.skip();
  return {};
}
`;
}

function serviceCode(service) {
  const fullName = service.fullName.slice(1);
  let out = `${docstring(service.comment, service.name)}export const ${lowerFirst(service.name)} = {\n`;
  for (const method of service.methodsArray) {
    const { name: request } = method.resolvedRequestType;
    const { name: response } = method.resolvedResponseType;
    out += docstring(method.comment, `${service.name}.${method.name}`, '  ');
    out += `  ${lowerFirst(method.name)}: {
    path: '/${fullName}/${method.name}',
    requestStream: ${method.requestStream ?? false},
    responseStream: ${method.responseStream ?? false},
    requestSerialize: encode${request},
    requestDeserialize: decode${request},
    responseSerialize: encode${response},
    responseDeserialize: decode${response},
  },\n`;
  }
  return `${out}} as const;\n`;
}

/** The TypeScript of one .proto file; `file` is its path below proto/. */
function generate(file) {
  const parsed = new protobuf.Root();
  const source = readFileSync(path.join(protoDir, file), 'utf8');
  const { package: packageName } = protobuf.parse(source, parsed, { alternateCommentMode: true });
  parsed.resolveAll();
  const parts = parsed.lookup(packageName).nestedArray.map((item) => {
    if (item instanceof protobuf.Type) return messageCode(item);
    if (item instanceof protobuf.Service) return '';
    throw new Error(`${file}: ${item.name} is of a kind that is not supported yet`);
  });
  // The services come last: their tables name the codecs.
  const services = parsed.lookup(packageName).nestedArray.filter((item) => item instanceof protobuf.Service);
  const up = '../'.repeat(file.split('/').length);
  return [
    `// Generated from proto/${file} by \`npm run gen\`. Do not edit.\n`,
    `import { ProtoReader, ProtoWriter } from '${up}lib/protobuf.js';\n`,
    ...parts.filter((part) => part !== ''),
    ...services.map(serviceCode),
  ].join('\n');
}

/** Every file as a FileDescriptorProto, with what it defines. */
function descriptors(files) {
  const entries = files.map((file) => {
    const root = new protobuf.Root();
    const source = readFileSync(path.join(protoDir, file), 'utf8');
    // The names as they are written: whoever reads the description makes its own of them.
    const { package: packageName } = protobuf.parse(source, root, { keepCase: true });
    root.resolveAll();
    const [found] = root.toDescriptor('proto3').file.filter((one) => one.package === packageName);
    found.name = file;
    const names = root.lookup(packageName).nestedArray.map((item) => item.fullName.slice(1));
    const services = found.service.map((service) => `${packageName}.${service.name}`);
    const bytes = Buffer.from(descriptor.FileDescriptorProto.encode(found).finish());
    return `  {
    file: '${file}',
    services: ${JSON.stringify(services)},
    symbols: ${JSON.stringify(names)},
    base64: '${bytes.toString('base64')}',
  },\n`;
  });
  return `// Generated from proto/ by \`npm run gen\`. Do not edit.

/** A file of proto/: what it defines, and itself as a FileDescriptorProto. */
export interface ProtoFile {
  readonly file: string;
  readonly services: readonly string[];
  readonly symbols: readonly string[];
  readonly base64: string;
}

export const protoFiles: readonly ProtoFile[] = [\n${entries.join('')}];\n`;
}

const protos = readdirSync(protoDir, { recursive: true })
  .filter((file) => file.endsWith('.proto'))
  .sort();
const wanted = new Map([['descriptors.ts', descriptors(protos)]]);
for (const file of protos) {
  if (!file.startsWith('grpc/')) wanted.set(file.replace(/\.proto$/, '.ts'), generate(file));
}
let existing = [];
try {
  existing = readdirSync(genDir, { recursive: true }).filter((file) => file.endsWith('.ts'));
} catch (error) {
  if (error.code !== 'ENOENT') throw error;
}
const stale = [
  ...existing.filter((file) => !wanted.has(file)),
  ...[...wanted.keys()].filter(
    (file) => !existing.includes(file) || readFileSync(path.join(genDir, file), 'utf8') !== wanted.get(file),
  ),
];
if (process.argv.includes('--check')) {
  for (const file of stale) console.error(`src/gen/${file} is not what proto/ says; run: npm run gen`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  for (const file of stale) {
    const target = path.join(genDir, file);
    if (!wanted.has(file)) rmSync(target);
    else {
      mkdirSync(path.dirname(target), { recursive: true });
      writeFileSync(target, wanted.get(file));
    }
    console.log(`src/gen/${file}`);
  }
}
