class CodexProxy < Formula
  desc "OpenAI's APIs on this machine, through Codex"
  homepage "https://github.com/codex-proxy/codex-proxy"
  version "1.2.3"
  license "MIT"

  on_macos do
    url "https://github.com/codex-proxy/codex-proxy/releases/download/v1.2.3/codex-proxy-1.2.3-universal-macos.tar.gz"
    sha256 "6666666666666666666666666666666666666666666666666666666666666666"
    depends_on macos: :monterey
  end

  on_linux do
    url "https://github.com/codex-proxy/codex-proxy/releases/download/v1.2.3/codex-proxy-1.2.3-x86_64-linux.tar.gz"
    sha256 "3333333333333333333333333333333333333333333333333333333333333333"
    depends_on arch: :x86_64
  end

  def install
    bin.install "bin/codex-proxy"
    man1.install Dir["share/man/man1/*"]
    bash_completion.install "share/bash-completion/completions/codex-proxy"
    fish_completion.install "share/fish/vendor_completions.d/codex-proxy.fish"
    zsh_completion.install "share/zsh/site-functions/_codex-proxy"
  end

  service do
    run [opt_bin/"codex-proxy"]
    keep_alive crashed: true
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/codex-proxy --version")
  end
end
