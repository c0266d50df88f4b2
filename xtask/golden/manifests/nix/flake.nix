{
  description = "OpenAI's APIs on this machine, through Codex";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";

  outputs =
    { self, nixpkgs }:
    let
      each = systems: make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      mac = [ "aarch64-darwin" "x86_64-darwin" ];
      meta = {
        description = "OpenAI's APIs on this machine, through Codex";
        homepage = "https://github.com/codex-proxy/codex-proxy";
        license = nixpkgs.lib.licenses.mit;
        mainProgram = "codex-proxy";
        sourceProvenance = [ nixpkgs.lib.sourceTypes.binaryNativeCode ];
      };
      # The command line, linked with all that it needs.
      commandLine =
        pkgs: src:
        pkgs.stdenvNoCC.mkDerivation {
          pname = "codex-proxy";
          version = "1.2.3";
          inherit src meta;
          dontFixup = true;
          installPhase = ''
            runHook preInstall
            mkdir -p $out
            cp -r bin share $out/
            runHook postInstall
          '';
        };
      application =
        pkgs: src:
        pkgs.stdenvNoCC.mkDerivation {
          pname = "codex-proxy-app";
          version = "1.2.3";
          inherit src meta;
          nativeBuildInputs = [ pkgs.undmg ];
          sourceRoot = ".";
          dontFixup = true;
          installPhase = ''
            runHook preInstall
            mkdir -p $out/Applications $out/bin
            cp -r "Codex Proxy.app" $out/Applications/
            ln -s "$out/Applications/Codex Proxy.app/Contents/MacOS/codex-proxy" $out/bin/codex-proxy
            runHook postInstall
          '';
        };
    in
    {
      packages =
        each [ "x86_64-linux" ] (pkgs: {
          default = commandLine pkgs (pkgs.fetchurl { url = "https://github.com/codex-proxy/codex-proxy/releases/download/v1.2.3/codex-proxy-1.2.3-x86_64-linux.tar.gz"; hash = "sha256-MzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzM="; });
        })
        // each mac (pkgs: {
          default = commandLine pkgs (pkgs.fetchurl { url = "https://github.com/codex-proxy/codex-proxy/releases/download/v1.2.3/codex-proxy-1.2.3-universal-macos.tar.gz"; hash = "sha256-ZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY="; });
          application = application pkgs (pkgs.fetchurl { url = "https://github.com/codex-proxy/codex-proxy/releases/download/v1.2.3/Codex-Proxy-1.2.3-universal.dmg"; hash = "sha256-VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVU="; });
        });
    };
}
