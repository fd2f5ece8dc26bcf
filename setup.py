"""Packaging: the code in netc/, and schemas/ and prototxt/ as data inside the installed package."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
DATA = {"netc._data.schemas": "schemas", "netc._data.prototxt": "prototxt"}


def data_files(folder: str) -> list[str]:
    """Every file below a data folder, relative to it."""
    root = ROOT / folder
    return [str(p.relative_to(root)) for p in sorted(root.rglob("*")) if p.is_file()]


def version() -> str:
    """The version, read from netc/version.py without importing the package."""
    scope: dict[str, str] = {}
    exec((ROOT / "netc" / "version.py").read_text(), scope)
    return scope["__version__"]


TEST = [
    "pytest>=8",
    "pytest-xdist>=3.5",
    "hypothesis>=6.100",
    "h5py>=3.10",
    "Pillow>=10",
    "ruff>=0.8",
    "mypy>=1.13",
    # Run exported models.
    "onnx>=1.16",
    "onnxruntime>=1.18",
    "matplotlib>=3.8",
    "tensorboardX>=2.6",
    # Where there is no GPU: what compiles its kernels (90 MB), the headers of CuPy's own, and CuPy
    # itself (137 MB), which runs over a driver that the tests bring.
    "nvidia-cuda-nvrtc-cu12; platform_system == 'Linux'",
    "nvidia-cuda-runtime-cu12; platform_system == 'Linux' and platform_machine == 'x86_64'",
    "cupy-cuda12x>=13.6; platform_system == 'Linux' and platform_machine == 'x86_64'",
]

# CuPy, what compiles kernels (and the headers of CuPy's own), and what CuPy multiplies matrices by.
# CuPy's extra `ctk` has twice as much: cuFFT, cuSOLVER, cuSPARSE and cuRAND, which netc never uses.
CUDA12 = [
    "cupy-cuda12x>=13",
    "nvidia-cuda-nvrtc-cu12",
    "nvidia-cuda-runtime-cu12",
    "nvidia-cublas-cu12",
]
CUDA13 = [
    "cupy-cuda13x>=13.6",
    "nvidia-cuda-nvrtc>=13",
    "nvidia-cuda-runtime>=13",
    "nvidia-cublas>=13",
]

CLASSIFIERS = [
    "Development Status :: 4 - Beta",
    "Environment :: Console",
    "Environment :: GPU :: NVIDIA CUDA :: 12",
    "Intended Audience :: Developers",
    "Intended Audience :: Science/Research",
    "Operating System :: OS Independent",
    "Programming Language :: Python :: 3",
    *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)),
    "Programming Language :: Python :: 3 :: Only",
    "Topic :: Scientific/Engineering :: Artificial Intelligence",
    "Topic :: Scientific/Engineering :: Image Recognition",
    "Topic :: Software Development :: Compilers",
    "Typing :: Typed",
]
KEYWORDS = [
    "caffe",
    "caffemodel",
    "compiler",
    "deep learning",
    "inference",
    "neural network",
    "numba",
    "onnx",
    "prototxt",
]

setup(
    name="netc",
    version=version(),
    description="A compiler for networks written as text: runs Caffe's nets, exactly and fast",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    classifiers=CLASSIFIERS,
    keywords=KEYWORDS,
    license="BSD-2-Clause",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=[*find_packages(include=["netc", "netc.*"]), "netc._data", *DATA],
    package_dir={"netc": "netc", **DATA},
    package_data={
        "netc": [
            "py.typed",
            "syntax/*.lark",
            "schema/*.lark",
            "backends/cuda/kernels/*.cuh",
            "report/web/*",
            "aot/page.html",
            "aot/c/*.c",
        ],
        **{package: data_files(folder) for package, folder in DATA.items()},
    },
    install_requires=[
        "lark>=1.2",
        "numpy>=1.26",
        "protobuf>=5",
        "rich>=13",
        "Pillow>=10",
        "numba>=0.60",
        "lmdb>=1.4",
    ],
    extras_require={
        "h5": ["h5py>=3.10"],
        "leveldb": ["plyvel>=1.5"],
        "onnx": ["onnx>=1.16"],
        "parquet": ["pyarrow>=15"],
        "plot": ["matplotlib>=3.8"],
        "ray": ["ray[data]>=2.40"],
        "tensorboard": ["tensorboardX>=2.6"],
        "build": ["ziglang>=0.13"],
        "mpi": ["mpi4py>=4.1", "mpich>=4.3; platform_system != 'Windows'"],
        "cuda12": CUDA12,
        "cuda13": CUDA13,
        "test": TEST,
    },
    entry_points={"console_scripts": ["netc=netc.__main__:main"]},
)
