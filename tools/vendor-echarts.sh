#!/bin/sh
# Makes katib/dashboard/static/vendor/echarts.js: of Apache ECharts only what the dashboard draws with, as one ES module, with
# the licences of all that is in it. Needs npm and node 18 or newer; users of Katib do not: the result is committed.
# Axe, which the browser tests look for barriers with, is fetched beside them in the same way.
set -eu

ECHARTS=6.1.0
ESBUILD=0.28.2
AXE=4.14.1

root=$(cd "$(dirname "$0")/.." && pwd)
vendor=$root/katib/dashboard/static/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

npm init --yes >/dev/null
npm install --silent --no-audit --no-fund "echarts@$ECHARTS" "esbuild@$ESBUILD" "axe-core@$AXE"
cat >entry.js <<'ENTRY'
export {init} from 'echarts/core';
import {use} from 'echarts/core';
import {LineChart, ScatterChart, ParallelChart, CustomChart} from 'echarts/charts';
import {GridSimpleComponent, TooltipComponent, ParallelComponent} from 'echarts/components';
import {CanvasRenderer} from 'echarts/renderers';
use([LineChart, ScatterChart, ParallelChart, CustomChart, GridSimpleComponent, TooltipComponent, ParallelComponent, CanvasRenderer]);
ENTRY
npx esbuild entry.js --bundle --minify --format=esm --target=es2022 --legal-comments=none --log-level=warning \
    "--banner:js=/* Apache ECharts $ECHARTS, Apache-2.0, with zrender (BSD-3-Clause) and tslib (0BSD): see LICENSE.echarts */" \
    --outfile=echarts.js

mkdir -p "$vendor"
cp echarts.js "$vendor/echarts.js"
{
    cat node_modules/echarts/NOTICE node_modules/echarts/LICENSE
    echo; echo "=== d3 (parts of it in ECharts)"; cat node_modules/echarts/licenses/LICENSE-d3
    echo; echo "=== zrender"; cat node_modules/zrender/LICENSE
    echo; echo "=== tslib"; cat node_modules/tslib/LICENSE.txt
} >"$vendor/LICENSE.echarts"
cp node_modules/axe-core/axe.min.js "$root/tests/dashboard/axe.min.js"
cp node_modules/axe-core/LICENSE "$root/tests/dashboard/LICENSE.axe"

size=$(gzip -9 -c "$vendor/echarts.js" | wc -c)
echo "echarts.js: $size bytes compressed"
[ "$size" -lt 200000 ] || { echo >&2 "vendor-echarts.sh: that is more than a page may move (200000)"; exit 1; }
