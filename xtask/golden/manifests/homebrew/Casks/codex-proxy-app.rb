cask "codex-proxy-app" do
  version "1.2.3"
  sha256 "5555555555555555555555555555555555555555555555555555555555555555"

  url "https://github.com/codex-proxy/codex-proxy/releases/download/v#{version}/Codex-Proxy-#{version}-universal.dmg"
  name "Codex Proxy"
  desc "OpenAI's APIs on this machine, through Codex"
  homepage "https://github.com/codex-proxy/codex-proxy"

  livecheck do
    url :url
    strategy :github_latest
  end

  auto_updates true
  depends_on macos: ">= :monterey"

  app "Codex Proxy.app"
  binary "#{appdir}/Codex Proxy.app/Contents/MacOS/codex-proxy"

  uninstall quit: "io.github.codex-proxy"

  zap trash: [
    "~/Library/Application Support/codex-proxy",
    "~/Library/Caches/io.github.codex-proxy",
    "~/Library/LaunchAgents/Codex Proxy.plist",
    "~/Library/Preferences/io.github.codex-proxy.plist",
    "~/Library/WebKit/io.github.codex-proxy",
  ]
end
