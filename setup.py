"""The only code outside the folders: prefixes every top-level folder with `vitapps.`."""

from setuptools import find_packages, setup

ROOTS = ("apps", "pipelines", "shared_backbones", "datasets", "papers")

setup(
    packages=[
        "vitapps",
        *(f"vitapps.{name}" for root in ROOTS for name in find_packages(include=[root, f"{root}.*"])),
    ]
)
