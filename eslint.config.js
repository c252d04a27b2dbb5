import neostandard from 'neostandard'
import tseslint from 'typescript-eslint'
import words from './eslint.words.js'

export default [
  // src/mcp/server.ts is there to be replaced: its style is its author's
  ...neostandard({ ts: true, ignores: ['dist/**', '.tap/**', 'node_modules/**', 'src/mcp/server.ts'] }),
  {
    rules: {
      'no-console': 'error',
      'no-void': 'off'
    }
  },
  {
    files: ['**/*.ts', '**/*.js'],
    rules: {
      'max-len': ['error', { code: 120, ignoreUrls: true, ignoreRegExpLiterals: true }]
    }
  },
  {
    files: ['**/*.ts'],
    plugins: { '@typescript-eslint': tseslint.plugin },
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { project: './tsconfig.test.json', tsconfigRootDir: import.meta.dirname }
    },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unsafe-argument': 'error',
      '@typescript-eslint/no-unsafe-assignment': 'error',
      '@typescript-eslint/no-unsafe-call': 'error',
      '@typescript-eslint/no-unsafe-member-access': 'error',
      '@typescript-eslint/no-unsafe-return': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      // a promise that nobody holds ends as a rejection that nobody handles
      '@typescript-eslint/no-floating-promises': ['error', {
        allowForKnownSafePromises: [{ from: 'package', name: 'PromiseWithSubtest', package: '@tapjs/core' }],
        allowForKnownSafeCalls: [{ from: 'package', name: 'test', package: 'node:test' }]
      }],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }]
    }
  },
  {
    // a line break in HTML or CSS is sent along
    files: ['src/pages/**/*.ts'],
    rules: {
      'max-len': ['error', { code: 120, ignoreUrls: true, ignoreRegExpLiterals: true, ignoreTemplateLiterals: true }]
    }
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      complexity: ['error', 12],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
      'max-lines': ['error', 300],
      '@typescript-eslint/no-floating-promises': ['error', { ignoreVoid: false }]
    }
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      'no-restricted-imports': ['error', {
        patterns: [{ group: ['**/src/mcp/server.js'], message: 'Host test/support/sample-server.ts.' }]
      }]
    }
  },
  {
    files: ['src/**/*.ts', 'examples/**/*.ts', 'templates/**/*.ts'],
    plugins: { words },
    rules: { 'words/plain-words': 'error' }
  },
  {
    // the options of stdio servers have templates of their own
    files: ['src/hosted/stdio/options/*.ts', 'src/hosted/stdio/*.ts', 'test/hosted/*.ts', 'test/embedding/snippets.ts'],
    rules: { 'no-template-curly-in-string': 'off' }
  },
  {
    files: ['**/*.md', '.env.example'],
    plugins: { words },
    languageOptions: { parser: words.prose },
    rules: {
      'words/plain-words': 'error',
      // the width of prose; tables, and lines that are one link, may be longer
      'max-len': ['error', { code: 120, ignoreUrls: true, ignorePattern: '^\\|' }]
    }
  }
]
