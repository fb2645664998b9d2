import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

// Development: `npx vite packages/console` beside `npm start`; see CONTRIBUTING.md.
const server = process.env.WRIT_DEV_SERVER ?? 'http://localhost:8000'

export default defineConfig({
  root: import.meta.dirname,
  // Files name each other from where they are, so that the server may stand below any path of its host.
  base: './',
  plugins: [
    react(),
    {
      // What the server writes into the page; in development nobody does.
      name: 'writ-page',
      apply: 'serve',
      transformIndexHtml: (html) =>
        html
          .replaceAll('%writ.base%', '')
          .replaceAll('%writ.prefix%', '/api/v1')
          .replaceAll('%writ.name%', 'Writ')
          .replaceAll('%writ.passkeyHost%', 'localhost')
          .replaceAll('%writ.nonce%', ''),
    },
  ],
  build: {
    outDir: 'dist',
    // `-` cannot begin the slug of a project, so no address of a page begins with it.
    assetsDir: '-',
    target: 'es2023',
    // The page allows no data: but images; small files are files.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Which file needs which: test/console/bundle.test.ts adds up what a first look loads.
    manifest: 'manifest.json',
    chunkSizeWarningLimit: 1000,
    rolldownOptions: {
      output: {
        // What every page needs at once is two files instead of twenty, and a release changes one of them.
        codeSplitting: {
          groups: [
            { name: 'libraries', tags: ['$initial'], test: /node_modules/, priority: 2 },
            { name: 'first', tags: ['$initial'], priority: 1 },
          ],
        },
      },
    },
  },
  // A file of its own beside the others; those that it shares with the page are loaded by both.
  worker: { format: 'es' },
  server: { proxy: { '/api': { target: server, changeOrigin: false }, '/log': server } },
})
