import { appendFileSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

const OUT = '../pacs/portal/built'

/** Puts `name.gz` beside each text file, so that the portal compresses nothing while it serves. */
function precompressed(): Plugin {
  return {
    name: 'precompressed',
    apply: 'build',
    closeBundle() {
      for (const entry of readdirSync(OUT, { recursive: true, encoding: 'utf8' })) {
        const path = join(OUT, entry)
        if (!/\.(js|css|html|svg|wasm)$/.test(path) || !statSync(path).isFile()) continue
        const bytes = readFileSync(path)
        const small = gzipSync(bytes, { level: 9 })
        if (small.length < bytes.length * 0.9) writeFileSync(`${path}.gz`, small)
      }
    },
  }
}

/** The licences of the fonts, which reach the page through its styles, below those of the code. */
function fontLicences(): Plugin {
  return {
    name: 'font-licences',
    apply: 'build',
    closeBundle() {
      for (const font of ['@fontsource-variable/inter', '@fontsource/pretendard']) {
        appendFileSync(`${OUT}/licences.md`, `\n## ${font}\n\n${readFileSync(`node_modules/${font}/LICENSE`, 'utf8')}`)
      }
    },
  }
}

export default defineConfig({
  base: '/',
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: 'es2022',
    // The policy of the page refuses inline scripts and data: fonts; every asset stays a file.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 6000,
    license: { fileName: 'licences.md' },
  },
  worker: { format: 'es' },
  plugins: [fontLicences(), precompressed()],
  server: { proxy: { '/dicomweb': 'http://127.0.0.1:8080' } },
})
