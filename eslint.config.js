import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** The folders of src/ and what each may import (docs/contributing.md). */
const layers = {
  lib: [],
  supervision: ['lib'],
  platform: ['lib'],
  ipc: ['lib'],
  jobs: ['lib'],
  gen: ['lib'],
  cli: ['gen', 'lib'],
  provision: ['platform', 'lib'],
  host: ['ipc', 'supervision', 'platform', 'lib'],
  workers: ['ipc', 'supervision', 'jobs', 'platform', 'lib', 'gen'],
};
const workers = ['certs', 'kubelet', 'reconciler', 'logs', 'debug'];
const all = Object.keys(layers);

const ban = (folder, message) => ({ regex: `^(\\.\\./)+${folder}/`, message });

const boundaries = Object.entries(layers).map(([layer, allowed]) => ({
  files: [`src/${layer}/**/*.ts`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          ...all
            .filter((other) => other !== layer && !allowed.includes(other))
            .map((other) => ban(other, `src/${layer} may not import src/${other}`)),
          ...(layer === 'workers'
            ? [ban(`(${workers.join('|')})`, 'a worker may not import another worker')]
            : []),
          {
            regex: '^@kubernetes/client-node',
            message: 'only the reconciler imports the Kubernetes client',
          },
          {
            regex: '^@grpc/grpc-js',
            message: 'only the debug worker and the debug client speak gRPC',
          },
        ].filter(
          (pattern) =>
            !(layer === 'workers' && /kubernetes|grpc/.test(pattern.regex)) &&
            !(layer === 'cli' && /grpc/.test(pattern.regex)),
        ),
      },
    ],
  },
}));

export default tseslint.config(
  { ignores: ['dist/', '.tap/', 'src/gen/'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-definitions': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/unified-signatures': 'off',
    },
  },
  ...boundaries,
  {
    files: ['src/**/*.ts'],
    ignores: ['src/host/**', 'src/provision/**', 'src/cli/**'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: 'ImportDeclaration[source.value="node:child_process"]',
          message: 'processes are started by src/host/children.ts alone',
        },
        { selector: 'TSEnumDeclaration', message: 'a union of literals instead of an enum' },
      ],
    },
  },
  {
    files: ['**/*.js', '**/*.mjs', '**/*.cjs'],
    languageOptions: {
      globals: {
        performance: 'readonly',
        process: 'readonly',
        console: 'readonly',
        URL: 'readonly',
        setTimeout: 'readonly',
        clearTimeout: 'readonly',
        Buffer: 'readonly',
        __filename: 'readonly',
      },
    },
  },
);
